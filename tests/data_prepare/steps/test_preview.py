"""The step that makes a clip's strip and curves."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prepare.job import Job
from data_prepare.steps.preview import FLOOR_DBFS, MAX_CURVE_POINTS, STEP, envelope, thinned
from moda.geometry import to_image
from moda.imaging.landmark_strip import THUMBNAIL_SIDE_PX
from moda.landmarks import INNER_LIP_PAIRS, canonical_face
from moda.representation import FPS, HeadPose

FRAMES = 75
OPENING = 4.0 + 3.0 * np.sin(np.arange(FRAMES) / 5)


def speaking_face() -> np.ndarray:
    """(T, 478, 3) canonical, whose lips open as `OPENING` says."""
    vertices = canonical_face().vertices
    rest = np.concatenate([vertices, np.repeat(vertices[[33, 263]], 5, axis=0)])
    faces = np.repeat(rest[None], FRAMES, axis=0)
    for upper, lower in INNER_LIP_PAIRS:
        faces[:, lower] = faces[:, upper] + np.stack([0 * OPENING, OPENING, 0 * OPENING], axis=1)
    return faces


@pytest.fixture
def job(tmp_path: Path, synthetic_video: Path) -> Job:
    job = object.__new__(Job)
    job.folder = tmp_path
    shutil.copy(synthetic_video, tmp_path / "video.mp4")
    turn = np.linspace(-20, 20, FRAMES)
    job.pose = HeadPose(
        np.stack([0 * turn, turn, 0.5 * turn], axis=1), np.full((FRAMES, 3), 250.0), np.linspace(0.5, 1.4, FRAMES)
    )
    job.landmarks = to_image(speaking_face(), job.pose).astype(np.float32)
    job.tracked = np.ones(FRAMES, bool)
    job.torso = np.full((FRAMES, 18, 3), 400.0, np.float32)
    job.wave = (0.1 * np.sin(np.arange(FRAMES * 640) * 2 * np.pi * 200 / 16000)).astype(np.float32)
    return job


def curves_of(job: Job) -> dict[str, object]:
    return json.loads((job.folder / "preview.json").read_text())


def test_lip_opening_is_that_of_the_face_at_rest_whatever_its_pose(job: Job) -> None:
    STEP.run(job)
    curves = curves_of(job)
    assert curves["seconds"] == FRAMES / FPS
    np.testing.assert_allclose(curves["lip_opening"], OPENING, atol=0.02)
    np.testing.assert_allclose(curves["envelope"], -23.0, atol=0.1)
    with Image.open(job.folder / "preview.jpg") as strip:
        assert strip.size == (8 * THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX)
    assert job.preview is True


def test_untracked_frames_have_no_value_and_no_landmarks(job: Job) -> None:
    job.tracked[:20] = False
    job.wave = None
    STEP.run(job)
    curves = curves_of(job)
    assert curves["lip_opening"][:20] == [None] * 20
    assert None not in curves["lip_opening"][20:]
    assert curves["envelope"] == []
    with Image.open(job.folder / "preview.jpg") as picture:
        corners = np.asarray(picture.convert("RGB")).astype(int)[1, 1::THUMBNAIL_SIDE_PX]
    assert ((corners[:, 0] - corners[:, 1] > 80) == [True, True] + [False] * 6).all(), "frames 4 and 14 of 75"


def test_twice_the_same_bytes(job: Job) -> None:
    names = ("preview.jpg", "preview.json")
    STEP.run(job)
    before = [(job.folder / name).read_bytes() for name in names]
    STEP.run(job)
    assert [(job.folder / name).read_bytes() for name in names] == before
    assert sorted(path.name for path in job.folder.iterdir()) == [*names, "video.mp4"]


def test_level_is_by_frame_and_short_sound_ends_in_silence() -> None:
    wave = np.concatenate([np.full(640, 1.0), np.full(640, 0.1), np.zeros(640), np.full(320, 1.0)]).astype(np.float32)
    np.testing.assert_allclose(envelope(wave, 5), [0.0, -20.0, FLOOR_DBFS, -3.01, FLOOR_DBFS], atol=0.01)
    assert len(envelope(np.ones(10 * 640, np.float32), 3)) == 3


@pytest.mark.parametrize("frames", [1, 299, 300, 301, 1000, 7500])
def test_long_curves_keep_their_peaks(frames: int) -> None:
    values = np.zeros(frames)
    values[frames // 2] = 9.0
    valid = np.ones(frames, bool)
    curve = thinned(values, valid, 2)
    assert len(curve) == min(frames, MAX_CURVE_POINTS)
    assert curve.count(9.0) == 1 and abs(curve.index(9.0) / len(curve) - 0.5) <= 1 / len(curve) + 0.5 * (frames == 1)
    valid[frames // 2] = False
    assert 9.0 not in thinned(values, valid, 2)

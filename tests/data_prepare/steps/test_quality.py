"""The limits beyond which a clip is rejected."""

from __future__ import annotations

import numpy as np
import pytest

from data_prepare.job import Job
from data_prepare.options import Limits, Options
from data_prepare.scan.shots import Shot
from data_prepare.steps.quality import beyond, lip_motion, lip_opening_range, mesh_misfit, pauses, run
from moda.geometry import to_image
from moda.imaging.crop import Box, face_size
from moda.landmarks import LIPS, canonical_face, lip_opening
from moda.media.video import VideoWriter
from moda.representation import HeadPose

GOOD = {
    "face_px": 90.0, "sharpness": 200.0, "yaw_most": 20.0, "out_of_crop": 0.0, "lip_opening_range": 12.0,
    "lip_motion": 3.0, "loudness_dbfs": -20.0,
}  # fmt: skip


def test_a_good_clip_and_one_at_the_limits_are_within():
    limits = Limits()
    assert beyond(GOOD, limits) == []
    edge = {
        "face_px": limits.min_face,
        "sharpness": limits.min_sharpness,
        "yaw_most": limits.max_yaw,
        "out_of_crop": limits.max_outside,
    }
    assert beyond(edge, limits) == []


@pytest.mark.parametrize(
    ("figure", "value", "words"),
    [
        ("face_px", 31.0, "the face is 31 px, wanted 32"),
        ("sharpness", 2.9, "the face is blurred (sharpness 2.9, wanted 3)"),
        ("yaw_most", 60.1, "the head is turned by 60.1 degrees, wanted 60 at most"),
        (
            "lip_opening_range",
            0.09,
            "there is audio, but the lips stand still (in a second they move by 3.00 px, wanted 1.4; they open by "
            "0.09 px, wanted 0.1): a photo, or a person who only listens",
        ),
        (
            "lip_motion",
            1.39,
            "there is audio, but the lips stand still (in a second they move by 1.39 px, wanted 1.4; they open by "
            "12.00 px, wanted 0.1): a photo, or a person who only listens",
        ),
        ("out_of_crop", 0.51, "the face leaves the crop in 51% of the frames, wanted 50%"),
    ],
)
def test_each_limit_is_named_with_its_figure(figure, value, words):
    assert beyond({**GOOD, figure: value}, Limits()) == [words]


def test_without_sound_lips_may_rest():
    assert beyond({name: value for name, value in GOOD.items() if name != "loudness_dbfs"}, Limits()) == []
    silent = {**GOOD, "lip_opening_range": 0.0, "lip_motion": 0.0}
    assert beyond(silent, Limits(min_lip_range=0, min_lip_motion=0)) == []
    silent.pop("loudness_dbfs")
    assert beyond(silent, Limits()) == []


def test_lip_motion_is_the_spread_within_a_second():
    meshes = np.zeros((120, 478, 3))
    assert lip_motion(meshes) == 0.0
    meshes[50:75:2, list(LIPS), 0] += 6.0
    assert lip_motion(meshes) == pytest.approx(3.0, rel=0.02)


def test_a_syllable_in_some_seconds_is_a_lip_opening():
    face = canonical_face()
    meshes = np.zeros((120, 478, 3))
    meshes[:, : len(face.vertices)] = face.vertices
    assert lip_opening_range(meshes) == pytest.approx(0.0, abs=1e-9)
    rest = float(lip_opening(meshes[..., :2])[0])
    meshes[60:63, [14, 17, 87, 317, 178, 402], 1] += 20.0
    opened = float(lip_opening(meshes[..., :2])[60]) - rest
    assert opened > 5 and lip_opening_range(meshes) > 0.9 * opened
    meshes[61:63] = meshes[0]  # one frame is none
    assert lip_opening_range(meshes) < 0.3 * opened


def test_all_that_is_wrong_is_named():
    assert len(beyond({"face_px": 1, "sharpness": 0, "yaw_most": 90, "out_of_crop": 1}, Limits())) == 4
    assert beyond({"face_px": 1, "sharpness": 0, "yaw_most": 90, "out_of_crop": 1}, Limits(min_face=0, max_yaw=99)) == [
        "the face is blurred (sharpness 0.0, wanted 3)",
        "the face leaves the crop in 100% of the frames, wanted 50%",
    ]


def test_figures_of_a_clip(tmp_path):
    """A head that looks aside by 40 degrees for most of the time, leaves the crop at the right in 5 frames of 40, and
    whose face, of half the square, is cut from 128 pixels of the source; a voice that is clipped downwards.
    """
    job = object.__new__(Job)
    vertices = canonical_face().vertices
    face = np.concatenate([vertices, np.repeat(vertices[[33, 263]], 5, axis=0)])
    rotation = np.zeros((40, 3))
    rotation[:30, 1] = -40.0
    place = np.tile([256.0, 230.0, 0.0], (40, 1))
    place[35:, 0] += 250
    job.pose = HeadPose(rotation, place, np.ones(40))
    job.landmarks = to_image(face, job.pose).astype(np.float32)
    job.tracked = np.arange(40) < 36
    job.folder, job.jumps = tmp_path, 2
    job.options = Options(limits={"max_outside": 1.0, "min_lip_motion": 0.0, "min_lip_range": 0.0})
    job.shot = Shot(0, 40, Box(0, 0, 128), people=3)
    job.wave = np.zeros(40 * 640, np.float32)
    job.wave[: 10 * 640] = np.tile(np.float32([-1.0, 0.98]), 5 * 640)
    job.wave[10 * 640 : 20 * 640] = np.tile(np.float32([-0.5, 0.5]), 5 * 640)
    random = np.random.default_rng(0)
    with VideoWriter(tmp_path / "video.mp4", 128, 25) as writer:
        for _ in range(40):
            writer.write(random.integers(0, 255, (128, 128, 3)).astype(np.uint8))
    run(job)
    height = float(np.median(face_size(job.landmarks)))
    expected = {
        "tracked": 0.9, "face_px": height / 4, "yaw_range": 40.0, "yaw_most": 40.0, "pitch_range": 0.0,
        "lip_opening_range": 0.0, "mesh_misfit": 0.0, "out_of_crop": 5 / 40, "jumps": 2.0, "people": 3.0,
        "loudness_dbfs": 10 * np.log10(0.125 * (1 + 0.98**2) + 0.25 * 0.25), "pauses": 0.5, "clipped": 0.125,
    }  # fmt: skip
    for name, value in expected.items():
        assert job.quality[name] == pytest.approx(value, abs=1e-3), name
    assert job.quality["sharpness"] > 100


def test_pauses_are_frames_far_below_the_loud_ones():
    rng = np.random.default_rng(0)
    wave = 0.1 * rng.standard_normal(100 * 640)
    wave[20 * 640 : 45 * 640] *= 0.01
    assert pauses(wave, 100) == pytest.approx(0.25)
    assert pauses(0.1 * rng.standard_normal(100 * 640), 100) == 0.0
    wave[20 * 640 : 45 * 640] *= 10  # 20 dB below the rest: quiet speech
    assert pauses(wave, 100) == 0.0


def test_a_mesh_that_is_thrown_about_misfits():
    face = canonical_face()
    meshes = np.zeros((40, 478, 3))
    meshes[:, : len(face.vertices)] = face.vertices
    assert mesh_misfit(meshes) == pytest.approx(0.0, abs=1e-9)
    meshes[10:14, :, 0] += 7.0
    assert mesh_misfit(meshes) == pytest.approx(7.0)
    meshes[11:14] = meshes[0]  # one frame of forty is no hand before the face
    assert mesh_misfit(meshes) < 1.0

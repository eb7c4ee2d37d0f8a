"""What the look at a face tells: covered mouths and faces that are not upright."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.covered_mouths import Face, cover
from moda.errors import FaceError
from moda.geometry import fit_head_pose
from moda.imaging.crop import face_size
from moda.tracking.face import FaceTracker
from moda.tracking.face_choice import upright_face
from moda.tracking.face_view import FaceView, look_at
from moda.tracking.portrait import make_portrait, make_reference
from tests.tracking.detect import detect_faces

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def landmarks(astronaut: np.ndarray) -> np.ndarray:
    return detect_faces(astronaut)[0]


@pytest.fixture(scope="module")
def tracker():  # type: ignore[no-untyped-def]
    with FaceTracker(video=False, max_faces=16) as tracker:
        yield tracker


def seen(tracker: FaceTracker, image: np.ndarray) -> FaceView:
    face = tracker.faces(image)[0]
    return look_at(image, face, fit_head_pose(face[None])[0])


def test_a_free_mouth_is_seen_so(tracker: FaceTracker, astronaut: np.ndarray) -> None:
    grey = np.repeat(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    dark = (astronaut * 0.3).astype(np.uint8)
    blurred = cv2.GaussianBlur(astronaut, (0, 0), 2)
    for image in (astronaut, grey, dark, blurred, np.ascontiguousarray(astronaut[:, ::-1])):
        view = seen(tracker, image)
        assert view.hidden < 0.15 and view.upright > 0.8


@pytest.mark.parametrize("kind", ["surgical", "low mask", "scarf", "mouth only", "phone", "hand"])
def test_what_covers_the_mouth_is_seen(
    tracker: FaceTracker, astronaut: np.ndarray, landmarks: np.ndarray, kind: str
) -> None:
    hidden = []
    for seed in range(4):
        image, area = cover(astronaut, landmarks, kind, np.random.default_rng(seed))
        if area[Face(astronaut, landmarks).mouth_area()].mean() > 0.85 and tracker.faces(image):
            hidden.append(seen(tracker, image).hidden)
    assert hidden and np.mean(np.array(hidden) > 0.5) >= 0.75


def microphone_at(image: np.ndarray, landmarks: np.ndarray, right: float, down: float) -> np.ndarray:
    """A dark ball on a stick, so far from the mouth's middle in distances of the eyes."""
    face, drawn = Face(image, landmarks), image.copy()
    (centre,) = np.round(face.at([(right, down)])).astype(int)
    (foot,) = np.round(face.at([(right + 0.5, down + 3)])).astype(int)
    cv2.line(drawn, centre.tolist(), foot.tolist(), (60, 60, 62), round(0.25 * face.unit), cv2.LINE_AA)
    cv2.circle(drawn, centre.tolist(), round(0.36 * face.unit), (28, 28, 30), -1, cv2.LINE_AA)
    return drawn


def test_a_microphone_before_the_mouth_is_refused_or_accepted_by_the_caller(
    astronaut: np.ndarray, landmarks: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    image = microphone_at(astronaut, landmarks, 0, 0)
    with pytest.raises(FaceError, match=r"something covers the mouth \(\d+% of the lips\).*--accept-face.*: a\.png"):
        make_portrait(image, 64, source="a.png")
    assert make_portrait(image, 64, accept=True, source="a.png").image.shape == (64, 64, 3)
    assert "a.png: something covers the mouth" in caplog.text and "accepted all the same" in caplog.text


def test_a_microphone_beside_the_mouth_is_no_trouble(
    tracker: FaceTracker, astronaut: np.ndarray, landmarks: np.ndarray
) -> None:
    assert seen(tracker, microphone_at(astronaut, landmarks, 0.2, 1.1)).hidden < 0.25


@pytest.mark.parametrize(
    ("quarters", "said"), [(1, "90 degrees clockwise"), (2, "180 degrees"), (3, "90 degrees counter-clockwise")]
)
def test_a_face_on_its_side_is_turned_upright(
    tracker: FaceTracker,
    astronaut: np.ndarray,
    landmarks: np.ndarray,
    quarters: int,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lying = np.ascontiguousarray(np.rot90(astronaut, quarters))
    upright, face = upright_face(tracker, lying, 1, "a.png")
    assert np.array_equal(upright, astronaut)
    assert np.linalg.norm((face - landmarks)[:, :2], axis=1).mean() < 0.02 * face_size(landmarks)
    assert f"a.png: its face is not upright; the picture is turned by {said}" in caplog.text


def test_an_upright_picture_is_looked_at_once(
    tracker: FaceTracker, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "rot90", None)
    image, _ = upright_face(tracker, astronaut, 1, "a.png")
    assert image is astronaut


def test_the_turned_picture_is_what_a_reference_keeps(astronaut: np.ndarray) -> None:
    tall = astronaut[:, 60:400]
    reference = make_reference(np.ascontiguousarray(np.rot90(tall, 2)), 64)
    assert np.array_equal(reference.picture, tall)

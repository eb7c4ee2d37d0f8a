"""What is said of a reference face that is not as it should be."""

from __future__ import annotations

import numpy as np
import pytest

from moda.errors import FaceError
from moda.geometry import fit_head_pose, to_canonical, to_image
from moda.landmarks import INNER_LIP_PAIRS, LEFT_EYELID_PAIRS, RIGHT_EYELID_PAIRS
from moda.representation import HeadPose
from moda.tracking.checks import ReferenceFace, check_face, eyes_closed
from moda.tracking.face_view import FaceView
from tests.tracking.detect import detect_faces

PICTURE = (512, 512)
FREE = FaceView(hidden=0.02, upright=0.99)


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> np.ndarray:
    """(478, 3) canonical, eyes open, mouth closed."""
    landmarks = detect_faces(astronaut)[0]
    canonical = to_canonical(landmarks[None], fit_head_pose(landmarks[None]))[0]
    for upper, lower in INNER_LIP_PAIRS:
        canonical[lower] = canonical[upper]
    return canonical


def remarks(
    canonical: np.ndarray,
    yaw: float = 0.0,
    x: float = 256.0,
    y: float = 256.0,
    view: FaceView = FREE,
    accept: bool = False,
) -> list[str]:
    pose = HeadPose(np.array([0.0, yaw, 0.0]), np.array([x, y, 0.0]), np.array(1.0))
    return check_face(ReferenceFace(to_image(canonical, pose), PICTURE, canonical, pose, view), "a.png", accept=accept)


def test_of_a_usual_face_there_is_nothing_to_say(face: np.ndarray) -> None:
    assert remarks(face) == []
    assert remarks(face, yaw=-30) == []


def test_an_open_mouth_and_closed_eyes_are_said(face: np.ndarray) -> None:
    mouth, eyes = face.copy(), face.copy()
    mouth[[lower for _, lower in INNER_LIP_PAIRS], 1] += 9
    (said,) = remarks(mouth)
    assert "the mouth is open" in said
    for upper, lower in (*LEFT_EYELID_PAIRS, *RIGHT_EYELID_PAIRS):
        eyes[lower] = eyes[upper]
    assert eyes_closed(eyes) and not eyes_closed(face)
    (said,) = remarks(eyes)
    assert "the eyes are closed" in said


def test_a_turned_face_is_said_and_a_profile_refused(face: np.ndarray) -> None:
    for sign in (-1, 1):
        (said,) = remarks(face, yaw=sign * 45)
        assert "turned by 45 degrees" in said
        with pytest.raises(FaceError, match=r"turned by 70 degrees, wanted at most 60 .*: a\.png"):
            remarks(face, yaw=sign * 70)


def test_a_face_over_the_border_is_said_and_one_without_its_mouth_refused(face: np.ndarray) -> None:
    (said,) = remarks(face, x=face[:, 0].min() * -1 - 20)
    assert "reaches over the border" in said
    with pytest.raises(FaceError, match="the mouth is not whole in the picture"):
        remarks(face, y=512 - 40)


def test_a_covered_mouth_is_refused_one_in_part_is_said(face: np.ndarray) -> None:
    (said,) = remarks(face, view=FaceView(hidden=0.35, upright=0.99))
    assert "a part of the mouth" in said
    with pytest.raises(FaceError, match=r"something covers the mouth \(80% of the lips\)"):
        remarks(face, view=FaceView(hidden=0.8, upright=0.99))
    with pytest.raises(FaceError, match="landmarks do not fit the face"):
        remarks(face, view=FaceView(hidden=0.0, upright=0.01))


def test_what_is_refused_can_be_accepted(face: np.ndarray) -> None:
    said = remarks(face, yaw=70, view=FaceView(hidden=0.8, upright=0.01), accept=True)
    assert len(said) == 3 and all("accepted all the same" in line for line in said)

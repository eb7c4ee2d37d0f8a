"""The field that carries hair, neck and shoulders."""

import numpy as np
import pytest

from moda.geometry import apply_head, fit_head_pose, to_canonical, to_image
from moda.imaging.surroundings import CHIN, Surroundings, Target
from moda.landmarks import FACE_OVAL
from moda.representation import FRAME
from tests.imaging.test_drawing import frontal_face, shoulders

SIZE = 128
SCALE = FRAME / SIZE


def target(shift: tuple[float, float] = (0.0, 0.0), **head: float) -> tuple[Surroundings, Target]:
    """The field of the frontal face, and the frame in which its head and its shoulders have moved."""
    channels = {"pitch": 0, "yaw": 1, "roll": 2, "x": 3, "y": 4}
    motion = np.zeros((1, 7))
    for name, value in head.items():
        motion[0, channels[name]] = value
    landmarks, torso = frontal_face().astype(float), shoulders().astype(float)
    pose = fit_head_pose(landmarks[None])
    moved = to_image(to_canonical(landmarks[None], pose), apply_head(pose[0], motion))
    surroundings = Surroundings(landmarks, torso, pose[0])
    torso = torso + np.array([*shift, 0.0])
    return surroundings, surroundings.targets(moved, torso[None], fit_head_pose(moved))[0]


def at(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The field's values at points of the square frame, nearest pixel, in pixels of the frame."""
    columns, rows = np.clip(np.floor(points[:, :2] / SCALE).astype(int), 0, SIZE - 1).T
    return field[rows, columns] * SCALE


def test_nothing_moves_for_the_reference_itself():
    surroundings, frame = target()
    field, share = surroundings.field(frame, SIZE)
    assert np.abs(field).max() < 0.05
    assert share.min() > 0.99


def test_hair_goes_with_the_head_and_the_chest_stays():
    surroundings, frame = target(x=20.0)
    field, _ = surroundings.field(frame, SIZE)
    oval = frame.landmarks[list(FACE_OVAL)]
    top = np.array([[oval[:, 0].mean(), oval[:, 1].min() - 30.0]])
    low = np.array([[oval[:, 0].mean(), frame.landmarks[CHIN, 1] + 130.0]])
    assert at(field, top) == pytest.approx(np.array([[-20.0, 0.0]]), abs=1.0)
    assert at(field, low) == pytest.approx(np.array([[0.0, 0.0]]), abs=1.0)


def test_the_chest_goes_with_the_shoulders_and_the_hair_does_not():
    surroundings, frame = target(shift=(16.0, 6.0))
    field, _ = surroundings.field(frame, SIZE)
    moved = at(field, frame.torso)
    assert np.median(moved, axis=0) == pytest.approx(np.array([-16.0, -6.0]), abs=2.0)
    assert np.abs(field[4, SIZE // 2]).max() < 0.2
    border, shoulder = (np.linalg.norm(values, axis=-1).mean() for values in (field[-1] * SCALE, moved))
    assert border < 0.75 * shoulder, "the picture's lower border is held"


@pytest.mark.parametrize("yaw", [-35.0, 20.0, 35.0])
def test_it_meets_the_face_along_the_oval(yaw):
    surroundings, frame = target(yaw=yaw)
    field, _ = surroundings.field(frame, SIZE)
    oval = list(FACE_OVAL)
    wanted = frontal_face()[oval, :2] - frame.landmarks[oval, :2]
    gap = np.linalg.norm(at(field, frame.landmarks[oval]) - wanted, axis=1)
    moved = np.linalg.norm(wanted, axis=1).max()
    assert np.median(gap) < 0.1 * moved
    assert gap.max() < 0.35 * moved


@pytest.mark.parametrize("head", [{"yaw": 35.0}, {"yaw": -35.0}, {"pitch": 20.0}, {"pitch": -20.0, "roll": 15.0}])
def test_it_folds_hardly_anywhere_outside_the_face(head):
    surroundings, frame = target(**head)
    _, share = surroundings.field(frame, SIZE)
    assert (share <= 0).mean() < 0.02

"""Texture of the face's edge."""

from __future__ import annotations

import numpy as np
import pytest

from moda.geometry import apply_head, fit_head_pose, to_canonical, to_image
from moda.imaging.edge_skin import EDGE_WIDTH_PX, EdgeSkin, facing
from moda.imaging.warping import ReferenceWarp
from moda.landmarks import EYES, FACE_OVAL, LIPS, N_MESH, canonical_face
from moda.representation import Portrait
from tests.imaging.test_drawing import frontal_face, shoulders

SIZE = 128
HAIR_PX = 6.0
"""Width of a strip of hair before the cheek, pixels of the square frame."""
SKIN, HAIR = np.array([200, 150, 120]), np.array([10, 10, 200])
CHEEK, OTHER_CHEEK = 234, 454
"""The oval's points beside the ears: at the picture's left and right in a frontal face."""


def turned(yaw: float, face: np.ndarray | None = None) -> np.ndarray:
    """(468, 3): the frontal face (or another) after a turn."""
    face = frontal_face() if face is None else face
    pose = fit_head_pose(face[None])
    motion = np.zeros((1, 7))
    motion[0, 1] = yaw
    moved: np.ndarray = to_image(to_canonical(face[None], pose), apply_head(pose[0], motion))[0]
    return moved


def test_facing_is_the_cosine_of_the_angle_to_the_camera() -> None:
    front = facing(canonical_face().vertices)
    assert front[4] > 0.9, "the tip of the nose"
    assert front[list(FACE_OVAL)].min() > 0
    assert facing(turned(60.0)[:N_MESH]).min() < -0.5
    assert facing(2 * turned(20.0)[:N_MESH]) == pytest.approx(facing(turned(20.0)[:N_MESH]))


def test_what_the_reference_shows_stays_as_it_is() -> None:
    reference = turned(25.0)[:N_MESH]
    skin = EdgeSkin(reference)
    assert np.array_equal(skin.places(reference), reference[:, :2])
    further = skin.places(turned(40.0)[:N_MESH])
    assert np.array_equal(further[CHEEK], reference[CHEEK, :2]), "a cheek that turns away still more"


def test_a_hidden_cheek_that_comes_into_view_takes_its_texture_from_inside() -> None:
    reference = turned(25.0)[:N_MESH]
    hidden = CHEEK if facing(reference)[CHEEK] < 0 else OTHER_CHEEK
    seen = OTHER_CHEEK if hidden == CHEEK else CHEEK
    skin = EdgeSkin(reference)
    before, shifts = reference[hidden, :2], []
    for yaw in (25.0, 15.0, 5.0, -5.0):
        places = skin.places(turned(yaw)[:N_MESH])
        shifts.append(float(np.linalg.norm(places[hidden] - before)))
        assert np.array_equal(places[seen], reference[seen, :2])
    assert shifts == sorted(shifts) and shifts[0] == 0 and 2 < shifts[-1] < EDGE_WIDTH_PX
    assert np.abs(np.diff(shifts)).max() < 0.8 * shifts[-1], "not at once"


def test_eyes_and_lips_keep_their_texture() -> None:
    reference = turned(30.0)[:N_MESH]
    places = EdgeSkin(reference).places(turned(-30.0)[:N_MESH])
    inner = [point for point in (*EYES, *LIPS) if point < N_MESH]
    moved = np.linalg.norm(places[inner] - reference[inner, :2], axis=1)
    assert (moved > 0.5).mean() < 0.1, "but for the brows' outer ends"


@pytest.mark.parametrize("yaw", [25.0, -25.0])
def test_hair_beside_a_hidden_cheek_does_not_spread_over_it(yaw: float) -> None:
    """A strip of hair at the cheek that is turned away: as the cheek comes back, it is skin."""
    landmarks = turned(yaw).astype(np.float32)
    hidden = CHEEK if facing(landmarks[:N_MESH])[CHEEK] < 0 else OTHER_CHEEK
    outwards = np.sign(landmarks[hidden, 0] - landmarks[4, 0])
    edge = (outwards * landmarks[:N_MESH, 0]).max() - HAIR_PX
    beside = outwards * (np.arange(256) * 2 + 1) > edge
    image = np.broadcast_to(np.where(beside[:, None], HAIR, SKIN), (256, 256, 3)).astype(np.uint8)
    pose = fit_head_pose(landmarks[None])
    portrait = Portrait(image, landmarks, pose[0], landmarks, shoulders(), np.ones((256, 256), np.float32))
    warp = ReferenceWarp(portrait, SIZE)
    front = frontal_face()
    picture, _ = warp.warp(warp.targets(front[None], portrait.torso[None])[0])
    x, y = front[hidden, :2] * SIZE / 512
    inside = picture[round(y), slice(*sorted((round(x), round(front[4, 0] * SIZE / 512))))]
    hair = np.abs(inside - HAIR.astype(float)).sum(axis=1) < np.abs(inside - SKIN.astype(float)).sum(axis=1)
    assert len(inside) > 20 and hair.mean() < 0.05

"""Texture of lips that close."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from moda.geometry import fit_head_pose, subject_mesh, to_canonical
from moda.imaging.mouth_texture import HIDDEN_SHARE, SECOND_RING, MouthTexture, textured_triangles
from moda.imaging.warping import ReferenceWarp
from moda.landmarks import INNER_LIPS, N_MESH, OUTER_LIPS, canonical_face
from moda.representation import FRAME, Portrait
from tests.imaging.test_drawing import shoulders
from tests.imaging.test_eye_texture import face

SKIN, LIP, TEETH = (210, 160, 130), (170, 60, 60), (250, 250, 250)
UPPER = (*INNER_LIPS[:11], *SECOND_RING[:11], *OUTER_LIPS[:11])
MISSED_PX = 1
"""How far the teeth reach over the edge that the tracker finds, pixels of the square frame."""


def opened(gap: float) -> np.ndarray:
    """The face with its lower lip so many pixels under the upper one, in the middle of the mouth; less at its sides.

    The chin goes with it.
    """
    points = face()
    middle = points[list(INNER_LIPS), 1].mean()
    below = (points[:N_MESH, 1] > middle) & ~np.isin(np.arange(N_MESH), UPPER)
    across = np.abs(points[:N_MESH, 0] - 256) / np.abs(points[INNER_LIPS[0], 0] - 256)
    profile = np.sqrt(np.clip(1 - across**2, 0, 1))
    shut = points[14, 1] - points[13, 1]
    points[:N_MESH, 1][below] += ((gap - shut) * profile)[below]
    return points


@pytest.fixture(scope="module")
def smile() -> np.ndarray:
    return opened(24.0)


def test_nothing_changes_for_the_reference_and_for_a_mouth_that_opens(smile: np.ndarray) -> None:
    mesh = smile[:N_MESH, :2]
    texture = MouthTexture(smile)
    inside = smile[list(INNER_LIPS), :2]
    for frame in (smile, 0.5 * smile + 100, opened(30.0)):
        assert np.allclose(texture.places(frame, mesh), np.concatenate([mesh, inside]))


def test_the_edge_of_lips_that_close_comes_from_the_lips(smile: np.ndarray) -> None:
    mesh = smile[:N_MESH, :2]
    found = MouthTexture(smile).places(opened(0.0), mesh)
    wanted = mesh[list(INNER_LIPS)] + HIDDEN_SHARE * (mesh[list(SECOND_RING)] - mesh[list(INNER_LIPS)])
    middle = [INNER_LIPS.index(point) for point in (13, 14)]
    assert np.allclose(found[list(INNER_LIPS)][middle], wanted[middle])
    assert np.allclose(found[N_MESH:], mesh[list(INNER_LIPS)]), "the inside of the mouth stays as it is"
    others = sorted(set(range(N_MESH)) - set(INNER_LIPS))
    assert np.array_equal(found[others], mesh[others])


def test_points_of_the_rings_are_neighbours() -> None:
    triangles = canonical_face().triangles
    for edge, ring in zip(INNER_LIPS, SECOND_RING, strict=True):
        assert (np.isin(triangles, edge).any(axis=1) & np.isin(triangles, ring).any(axis=1)).any(), (edge, ring)


def test_only_triangles_inside_the_mouth_have_texture_of_their_own() -> None:
    changed = (textured_triangles() >= N_MESH).any(axis=1)
    inside = np.isin(canonical_face().triangles, INNER_LIPS).all(axis=1)
    assert inside.sum() == 18 and changed[inside].all()


def test_teeth_that_the_tracker_takes_for_lips_are_not_seen_in_a_closed_mouth(smile: np.ndarray) -> None:
    image = np.full((FRAME, FRAME, 3), SKIN, np.uint8)
    for ring, colour in ((OUTER_LIPS, LIP), (INNER_LIPS, TEETH)):
        cv2.fillPoly(image, [np.round(smile[list(ring), :2]).astype(np.int32)], colour)
    cv2.polylines(image, [np.round(smile[list(INNER_LIPS), :2]).astype(np.int32)], True, TEETH, 2 * MISSED_PX)
    pose = fit_head_pose(smile[None])
    subject = subject_mesh(to_canonical(smile[None], pose))
    person = np.ones((FRAME, FRAME), np.float32)
    warp = ReferenceWarp(Portrait(image, smile, pose[0], subject, shoulders(), person), FRAME)

    def teeth(points: np.ndarray) -> int:  # in the middle of the mouth
        (target,) = warp.targets(points[None], shoulders()[None])
        return int((np.abs(warp.warp(target)[0][:, 236:276].astype(int) - TEETH).max(axis=-1) < 60).sum())

    assert teeth(smile) > 500
    assert teeth(opened(0.0)) < 20

"""Texture of lids and eyes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from moda.geometry import fit_head_pose, subject_mesh, to_canonical
from moda.imaging.eye_texture import CONTOURS, INNER_POINTS, IRISES, RIGHT_LID_ROWS, EyeTexture, textured_triangles
from moda.imaging.warping import ReferenceWarp
from moda.landmarks import LIDS, N_MESH, UPPER_LID_SHARE, canonical_face
from moda.representation import FRAME, Portrait
from tests.imaging.test_drawing import frontal_face, shoulders

SKIN, WHITE, IRIS, LASHES = (210, 160, 130), (250, 250, 250), (20, 60, 160), (10, 10, 10)
LASHES_PX = 3
"""Thickness of the lashes' line at the upper lid, pixels of the square frame."""
IRIS_PX = 5
SCALE = 1.8
"""Of the face, so that an eye has 17 pixels between its lids."""


def face() -> np.ndarray:
    """The frontal face, its irises in the middle of its eyes."""
    points = frontal_face()
    points = SCALE * (points - points[4]) + [256.0, 256.0, 0.0]
    for contour, iris in zip(CONTOURS, IRISES, strict=True):
        points[iris] = points[list(contour)].mean(axis=0)
    return points


def closed(points: np.ndarray, share: float) -> np.ndarray:
    """The lids brought together by a share of the way."""
    points = points.copy()
    for upper, lower in LIDS:
        gap = points[list(lower)] - points[list(upper)]
        points[list(upper)] += UPPER_LID_SHARE * share * gap
        points[list(lower)] -= (1 - UPPER_LID_SHARE) * share * gap
    return points


def looking(points: np.ndarray, across: float, down: float) -> np.ndarray:
    points = points.copy()
    points[list(IRISES), :2] += [across, down]
    return points


@pytest.fixture(scope="module")
def warp() -> ReferenceWarp:
    """A face of one colour with painted eyes: white, a blue iris, black lashes."""
    points = face()
    image = np.full((FRAME, FRAME, 3), SKIN, np.uint8)
    for contour, iris, (upper, _) in zip(CONTOURS, IRISES, LIDS, strict=True):
        outline = np.round(points[list(contour), :2]).astype(np.int32)
        cv2.fillPoly(image, [outline], WHITE)
        cv2.circle(image, tuple(np.round(points[iris, :2]).astype(int)), IRIS_PX, IRIS, -1)
        cv2.polylines(image, [np.round(points[list(upper), :2]).astype(np.int32)], False, LASHES, LASHES_PX)
    pose = fit_head_pose(points[None])
    person = np.ones((FRAME, FRAME), np.float32)
    subject = subject_mesh(to_canonical(points[None], pose))
    return ReferenceWarp(Portrait(image, points, pose[0], subject, shoulders(), person), FRAME)


def places(warp: ReferenceWarp, points: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Pixels (N, 2), x and y, of the left eye's surroundings that are of a colour in the picture warped to points."""
    picture, _ = warp.warp(warp.targets(points[None], shoulders()[None])[0])
    x, y = points[list(CONTOURS[0]), :2].mean(axis=0).astype(int)
    part = picture[y - 50 : y + 30, x - 40 : x + 40].astype(int)
    found = np.argwhere(np.abs(part - colour).max(axis=-1) < 60)[:, ::-1]
    return found + np.array([x - 40, y - 50])


def test_the_reference_itself_is_not_changed() -> None:
    points = face()
    found = EyeTexture(points).places(points, points[:N_MESH, :2])
    assert found.shape == (N_MESH + INNER_POINTS, 2)
    assert np.array_equal(found[:N_MESH], points[:N_MESH, :2])
    assert np.allclose(found[N_MESH:], points[list(CONTOURS[0] + CONTOURS[1]), :2])
    moved = 0.9 * points + [30.0, 40.0, 0.0]
    assert np.allclose(EyeTexture(points).places(moved, points[:N_MESH, :2]), found), "a smaller face elsewhere"


def test_every_triangle_keeps_its_corners_but_those_inside_the_eyes() -> None:
    triangles, textured = canonical_face().triangles, textured_triangles()
    corners = np.concatenate([np.arange(N_MESH), CONTOURS[0], CONTOURS[1]])
    assert np.array_equal(corners[textured], triangles)
    assert (textured >= N_MESH).any(axis=1).sum() == 28


def test_a_closing_lid_unrolls_the_skin_above_it() -> None:
    points = face()
    texture = EyeTexture(points)
    rows = [list(row) for row in RIGHT_LID_ROWS]
    before = points[:N_MESH, :2]
    shifts = [texture.places(closed(points, share), before)[rows[0], 1] - before[rows[0], 1] for share in (0.3, 1.0)]
    assert (shifts[0][1:6] < 0).all() and (shifts[1][1:6] < shifts[0][1:6]).all(), "taken from higher up"
    assert np.array_equal(texture.places(closed(points, 1.0), before)[rows[2]], before[rows[2]]), "the eyebrow stays"
    assert np.array_equal(texture.places(closed(points, -0.5), before)[:N_MESH], before), "an eye opened wider"


def test_lashes_stay_at_the_edge_of_a_closed_lid(warp: ReferenceWarp) -> None:
    thick = [np.ptp(places(warp, closed(face(), share), LASHES)[:, 1]) for share in (0.0, 1.0)]
    assert thick[1] < 2 * thick[0] + 3, f"rows of lashes open and closed: {thick}"
    lashes, lid = places(warp, closed(face(), 1.0), LASHES), closed(face(), 1.0)[LIDS[0][0][3], 1]
    assert abs(lashes[:, 1].max() - lid) < 3
    assert len(places(warp, closed(face(), 1.0), IRIS)) == 0


def test_a_lid_covers_the_iris_and_does_not_squeeze_it(warp: ReferenceWarp) -> None:
    whole, beside, half = (places(warp, closed(face(), share), IRIS) for share in (0.0, 0.2, 0.6))
    assert np.ptp(beside[:, 1]) >= np.ptp(whole[:, 1]) - 1, "a lid that does not reach it leaves it as it is"
    assert half[:, 1].min() > whole[:, 1].min() + 2 and abs(half[:, 1].max() - whole[:, 1].max()) <= 1


@pytest.mark.parametrize("across, down", [(6.0, 0.0), (-6.0, 0.0), (0.0, 3.0), (0.0, -3.0)])
def test_the_iris_moves_with_its_landmarks(warp: ReferenceWarp, across: float, down: float) -> None:
    before, after = (places(warp, points, IRIS) for points in (face(), looking(face(), across, down)))
    moved = after.mean(axis=0) - before.mean(axis=0)
    assert moved == pytest.approx([across, down / 2], abs=1.2), "up and down half as far: the lids hold their edges"
    assert moved @ [across, down] > 0
    contour = face()[list(CONTOURS[0]), :2]
    white = places(warp, looking(face(), across, down), WHITE)
    assert white[:, 0].min() > contour[:, 0].min() - 2 and white[:, 0].max() < contour[:, 0].max() + 2


def test_texture_that_was_taken_from_elsewhere_stays_there() -> None:
    points = face()
    elsewhere = points[:N_MESH, :2] + [3.0, -2.0]
    texture, shut = EyeTexture(points), closed(points, 1.0)
    shift = texture.places(shut, elsewhere)[:N_MESH] - texture.places(shut, points[:N_MESH, :2])[:N_MESH]
    assert np.allclose(shift, [3.0, -2.0])

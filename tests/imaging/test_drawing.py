"""The condition image."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from moda import landmarks as lm
from moda.imaging.drawing import SUBPIXEL_BITS, _trails, draw_condition, polygon_mask, tessellation, to_subpixels
from moda.landmarks import INNER_LIPS, N_TORSO, canonical_face


def frontal_face() -> np.ndarray:
    vertices = canonical_face().vertices
    return np.concatenate([vertices, np.repeat(vertices[[33, 263]], 5, axis=0)]) + np.array([256.0, 230.0, 0.0])


def shoulders() -> np.ndarray:
    right = np.stack([np.linspace(200, 20, 9), np.linspace(400, 480, 9), np.zeros(9)], 1)
    left = np.stack([np.linspace(310, 490, 9), np.linspace(400, 480, 9), np.zeros(9)], 1)
    torso = np.concatenate([right, left])
    assert len(torso) == N_TORSO
    return torso


def test_sides_have_their_colours_and_shoulders_are_drawn():
    picture = draw_condition(frontal_face(), shoulders(), 256)
    assert picture.shape == (256, 256, 3)
    assert picture.dtype == np.uint8
    red, green, blue = (picture[..., i].astype(int) for i in range(3))
    right_eye, left_eye = (slice(85, 115), slice(80, 120)), (slice(85, 115), slice(136, 176))
    assert (red - green)[right_eye].max() > 150, "the subject's right eye, left in the picture, is red"
    assert (green - red)[left_eye].max() > 150
    assert (blue - red)[200:240, 10:100].max() > 150, "shoulder line"
    assert not picture[:10].any(), "nothing is drawn above the head"


def test_every_contour_has_the_colour_of_its_group():
    face = frontal_face()
    for iris, eye in ((lm.LEFT_IRIS, lm.LEFT_EYE_CONTOUR), (lm.RIGHT_IRIS, lm.RIGHT_EYE_CONTOUR)):
        face[list(iris)] = face[list(eye)].mean(axis=0) + 3 * np.array([(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0)])
    picture = draw_condition(face, shoulders(), 512).astype(int)
    groups = {
        (255, 255, 255): (lm.FACE_OVAL, lm.OUTER_LIPS, lm.INNER_LIPS),
        (48, 255, 48): (lm.LEFT_EYE_CONTOUR, lm.LEFT_EYEBROW_CONTOUR, lm.LEFT_IRIS),
        (255, 48, 48): (lm.RIGHT_EYE_CONTOUR, lm.RIGHT_EYEBROW_CONTOUR, lm.RIGHT_IRIS),
    }
    for colour, contours in groups.items():
        for contour in contours:
            ends = face[list(contour), :2]
            for x, y in (ends + np.roll(ends, -1, axis=0)) / 2:  # also from the last point back to the first
                near = picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].reshape(-1, 3)
                assert np.abs(near - np.array(colour)).max(axis=1).min() < 90, (colour, contour)
    for x, y, _ in shoulders():
        near = picture[int(y) - 2 : int(y) + 2, int(x) - 2 : int(x) + 2].reshape(-1, 3)
        assert np.abs(near - np.array((64, 128, 255))).max(axis=1).min() < 90


def test_a_line_lies_where_its_points_are():
    """Pixel i covers [i, i + 1): a line at 400 is as bright on the pixels above it as on those below."""
    torso = shoulders()
    torso[:, 1] = 400.0
    for size in (512, 256):
        light = draw_condition(frontal_face(), torso, size)[:, : size // 6, 2].sum(axis=1).astype(float)
        assert np.average(np.arange(size) + 0.5, weights=light) == pytest.approx(400 * size / 512, abs=0.25)


def test_drawing_scales_with_the_size():
    small = draw_condition(frontal_face(), shoulders(), 128).any(axis=2)
    large = draw_condition(frontal_face(), shoulders(), 512).any(axis=2)
    pooled = large.reshape(128, 4, 128, 4).any(axis=(1, 3))
    near = np.zeros_like(pooled)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near |= np.roll(pooled, (dy, dx), axis=(0, 1))
    assert (small & near).sum() / small.sum() > 0.98


def test_points_far_outside_do_not_fail():
    face = frontal_face()
    face[:100] += 1e7
    assert draw_condition(face, shoulders(), 64).shape == (64, 64, 3)


def test_tessellation_names_every_edge_once():
    edges = tessellation()
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert (edges[:, 0] < edges[:, 1]).all()
    assert len(edges) == 468 + 898 - 1, "Euler: V - E + F = 1 for a disc"


def test_polygon_mask_has_the_polygon_area():
    square = np.array([[128, 128], [384, 128], [384, 384], [128, 384]], float)
    assert polygon_mask(square, 256).sum() == np.clip(polygon_mask(square, 256).sum(), 0.97 * 128**2, 1.06 * 128**2)
    assert polygon_mask(frontal_face()[list(INNER_LIPS)], 256).sum() > 10


def test_the_tessellation_is_drawn_in_few_strokes_as_edge_by_edge():
    face = frontal_face() + np.array([-150.0, 90.0, 0.0])  # across the border
    points = to_subpixels(face, 256)
    expected, drawn = np.zeros((2, 256, 256), np.uint8)
    cv2.polylines(expected, list(points[tessellation()]), False, 72, 1, cv2.LINE_8, SUBPIXEL_BITS)
    trails, ends = _trails()
    parts = [trails[start:end] for start, end in pairwise(ends)]
    cv2.polylines(drawn, [points[part] for part in parts], False, 72, 1, cv2.LINE_8, SUBPIXEL_BITS)
    assert expected.any() and np.array_equal(drawn, expected)
    edges = np.concatenate([np.stack([part[:-1], part[1:]], axis=1) for part in parts])
    assert len(parts) < 100 and len(edges) == len(tessellation())
    assert np.array_equal(np.unique(np.sort(edges, axis=1), axis=0), tessellation())

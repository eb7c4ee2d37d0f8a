import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moda.errors import MediaError
from moda.imaging.crop import Box, crop_square, face_size, from_frame, square_box, to_frame
from moda.representation import FRAME


def face(x, y, width, height, frames=3):
    """Landmarks whose extent is exactly width x height around (x, y)."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (frames, 478, 3))
    points[:, 0], points[:, 1] = (-0.5, -0.5, 0), (0.5, 0.5, 0)
    return points * np.array([width, height, width]) + np.array([x, y, 0])


def test_the_box_is_twice_the_face_with_the_face_a_little_above_the_middle():
    box = square_box(face(500, 400, 80, 100), 1280, 720)
    assert box == Box(left=400, top=310, side=200)
    np.testing.assert_allclose(to_frame(np.array([500.0, 400.0]), box), [0.5 * FRAME, 0.45 * FRAME])


def test_medians_make_it_deaf_to_a_few_wrong_frames():
    landmarks = face(500, 400, 80, 100, frames=9)
    wrong = landmarks.copy()
    wrong[:2] = wrong[:2] * 3 + 100
    assert square_box(wrong, 1280, 720) == square_box(landmarks, 1280, 720)


@given(st.integers(64, 2000), st.integers(64, 2000), st.floats(-50, 2050), st.floats(-50, 2050), st.floats(4, 3000))
def test_the_box_always_lies_inside_the_picture(width, height, x, y, size):
    left, top, side = square_box(face(x, y, size, 0.8 * size, frames=1), width, height)
    assert left >= 0 and top >= 0 and side >= 2 and side % 2 == 0
    assert left + side <= width and top + side <= height


def test_a_tight_clip_is_taken_whole():
    assert square_box(face(128, 120, 150, 190), 256, 256) == Box(0, 0, 256)


def test_frame_coordinates_and_back():
    box = Box(37, 11, 150)
    points = face(90, 80, 60, 70)
    np.testing.assert_allclose(from_frame(to_frame(points, box), box), points, atol=1e-9)
    assert face_size(to_frame(points, box)) == pytest.approx(face_size(points) * FRAME / 150)


@pytest.mark.parametrize("size", [64, 100, 320])
def test_a_point_of_the_picture_is_where_to_frame_says(size):
    picture = np.zeros((240, 320, 3), np.uint8)
    picture[90:110, 190:210] = 255
    box = Box(100, 20, 200)
    square = crop_square(picture, box, size)
    assert square.shape == (size, size, 3) and square.dtype == np.uint8
    rows, columns = np.nonzero(square[..., 0] > 127)
    middle = np.array([columns.mean(), rows.mean()]) + 0.5
    np.testing.assert_allclose(middle * FRAME / size, to_frame(np.array([200.0, 100.0]), box), atol=0.6 * FRAME / size)


def test_what_is_too_fine_for_the_square_becomes_its_mean():
    stripes = np.zeros((240, 320, 3), np.uint8)
    stripes[:, ::2] = 200
    square = crop_square(stripes, Box(100, 20, 200), 50)
    assert np.abs(square.astype(int) - 100).max() <= 1


def test_no_landmarks_or_nan_is_an_error():
    with pytest.raises(MediaError, match="cannot place a crop"):
        square_box(np.zeros((0, 478, 3)), 100, 100)
    with pytest.raises(MediaError, match="not finite"):
        square_box(np.full((2, 478, 3), np.nan), 100, 100)

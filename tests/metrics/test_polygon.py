import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from moda.metrics.landmark import polygon_iou

SQUARE = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float(polygon_iou(first[None], second[None])[0])


@pytest.mark.parametrize(
    ("second", "wanted"),
    [
        (SQUARE, 1.0),
        (SQUARE + np.array([5, 0]), 50 / 150),
        (SQUARE + np.array([0, 2.5]), 75 / 125),
        (SQUARE + np.array([5, 5]), 25 / 175),
        (SQUARE * 0.5 + 2, 25 / 100),
        (SQUARE + np.array([20, 0]), 0.0),
        (SQUARE[::-1], 1.0),  # direction does not matter
    ],
)
def test_two_squares(second: np.ndarray, wanted: float) -> None:
    assert iou(SQUARE, second) == pytest.approx(wanted, abs=1e-12)


def test_square_and_diamond_make_an_octagon() -> None:
    # |x|, |y| <= 1 and |x| + |y| <= d, d = sqrt 2: four corners of side 2 - d are cut off.
    d = np.sqrt(2)
    square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    diamond = np.array([[d, 0], [0, d], [-d, 0], [0, -d]])
    both = 4 - 4 * (2 - d) ** 2 / 2
    assert iou(square, diamond) == pytest.approx(both / (4 + 2 * d**2 - both), abs=1e-3)


def test_hollow_of_a_contour_is_not_filled() -> None:
    # A "U" of area 100 - 40, against the full square.
    u = np.array([[0.0, 0], [3, 0], [3, 8], [8, 8], [8, 0], [10, 0], [10, 10], [0, 10]])
    assert iou(u, SQUARE) == pytest.approx(0.6, abs=1e-12)


def test_empty_polygons_have_no_overlap() -> None:
    flat = np.zeros((1, 4, 2))
    assert np.isnan(polygon_iou(flat, flat)[0])
    assert polygon_iou(np.zeros((0, 4, 2)), np.zeros((0, 4, 2))).shape == (0,)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_agrees_with_pixels_of_scikit_image(seed: int) -> None:
    generator = np.random.default_rng(seed)
    angle = np.sort(generator.uniform(0, 2 * np.pi, size=(2, 20)), axis=1)
    radius = generator.uniform(60, 220, size=(2, 20))
    star = 250 + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    masks = [polygon2mask((500, 500), shape[:, ::-1]) for shape in star]
    wanted = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert iou(star[0], star[1]) == pytest.approx(wanted, abs=0.02)

"""The person cut out of a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from moda.imaging.matte import cut_out

SIDE = 128
HAIR, WALL = np.array([40.0, 30.0, 20.0]), np.array([220.0, 225.0, 230.0])


def disc(radius: float) -> np.ndarray:
    """Share of a disc in each pixel."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] - SIDE / 2 + 0.5
    return np.clip(radius - np.hypot(x, y) + 0.5, 0, 1).astype(np.float32)


def picture(share: np.ndarray, wall: np.ndarray = WALL) -> np.ndarray:
    mixed = share[..., None] * HAIR + (1 - share[..., None]) * wall
    return np.round(mixed).astype(np.uint8)


def soft(radius: float) -> np.ndarray:
    """A mask as the segmenter gives it: blurred."""
    return cv2.GaussianBlur(disc(radius), (0, 0), 2.0)


def test_a_mask_that_is_too_wide_takes_no_rim_of_wall_along() -> None:
    truth = disc(35)
    found = cut_out(picture(truth), soft(38), SIDE)
    assert np.abs(found.alpha - truth).mean() < 0.3 * np.abs(soft(38) - truth).mean()
    on_black = found.colour * found.alpha[..., None]
    assert on_black.max() < 70, "nothing of the wall is left"


def test_a_lock_that_the_mask_misses_goes_with_the_person() -> None:
    truth = disc(30)
    truth[60:62, 64 : 64 + 35] = 1  # two rows, five pixels beyond the rest
    mask = soft(30)
    found = cut_out(picture(truth), mask, SIDE)
    lock = slice(60, 62), slice(96, 98)
    assert found.alpha[lock].min() > 0.5 and mask[lock].max() < 0.3
    assert np.abs(found.background[lock] - WALL).max() < 6
    away = found.alpha[:, 110:]
    assert away.max() < 0.02


def hanging() -> tuple[np.ndarray, tuple[slice, slice], tuple[slice, slice]]:
    """A disc with a lock that hangs on it, and a spot on the wall; where both are, far from the disc."""
    truth = disc(24)
    truth[62:66, 64:104] = 1
    truth[26:30, 62:66] = 1
    return truth, (slice(62, 66), slice(97, 102)), (slice(26, 30), slice(62, 66))


def test_a_long_lock_goes_with_the_person_and_what_does_not_hang_on_her_stays() -> None:
    truth, lock, spot = hanging()
    found = cut_out(picture(truth), soft(24), SIDE)
    assert found.alpha[lock].min() > 0.8 and np.abs(found.background[lock] - WALL).max() < 6
    assert found.alpha[spot].max() < 0.05 and np.abs(found.background[spot] - HAIR).mean() < 12
    assert found.alpha[:, :30].max() < 0.05


@pytest.mark.parametrize("end", [118, SIDE])
def test_a_thing_behind_the_person_goes_on_and_stays_behind(end: int) -> None:
    """A bar that goes farther than a lock, or to the picture's border, which is near here."""
    truth = disc(24)
    truth[62:66, 64:end] = 1
    first = 0 if end < SIDE else 22
    found = cut_out(picture(truth)[:, : SIDE - first], soft(24)[:, : SIDE - first], SIDE)
    bar = slice(62, 66), slice(97, 102)
    assert found.alpha[bar].max() < 0.05 and np.abs(found.background[bar] - HAIR).mean() < 12


def test_a_glow_behind_the_person_stays_behind() -> None:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    lit = np.exp(-((x - 97) ** 2 + (y - 64) ** 2) / (2 * 5.5**2))[..., None]
    image = picture(disc(24), np.full(3, 100.0) * (1 - lit) + 210 * lit)
    large, mask = (cv2.resize(each, None, fx=2, fy=2) for each in (image, soft(24)))
    assert cut_out(large, mask, 2 * SIDE).alpha[120:136, 204:].max() < 0.1


def test_nothing_is_taken_from_a_wall_that_is_not_even() -> None:
    truth, lock, _ = hanging()
    posters = picture(truth, WALL)
    posters[:, ::16] = posters[::16] = HAIR
    found = cut_out(posters, soft(24), SIDE)
    assert found.alpha[lock].max() < 0.05 and np.abs(found.background[lock] - HAIR).mean() < 12


def test_laid_over_its_background_it_is_the_picture_again() -> None:
    image = picture(disc(34))
    found = cut_out(image, soft(35), SIDE)
    again = found.colour * found.alpha[..., None] + found.background * (1 - found.alpha[..., None])
    assert np.abs(again - image).mean() < 1 and np.abs(again - image).max() < 24


def test_where_the_background_is_not_smooth_the_mask_counts() -> None:
    rng = np.random.default_rng(0)
    leaves = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(float)
    mask = soft(34)
    found = cut_out(picture(disc(34), leaves), mask, SIDE)
    assert np.abs(found.alpha - mask).max() < 0.05
    far = np.abs(found.background - picture(disc(34), leaves)).max(axis=2)[:8]
    assert far.max() <= 1, "what lies away from the person stays"


def test_a_picture_that_is_all_person_or_none_is_left_as_it_is() -> None:
    image = picture(disc(34))
    for mask in (np.ones((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)):
        found = cut_out(image, mask, SIDE)
        assert np.array_equal(found.alpha, mask) and np.array_equal(found.colour, image)

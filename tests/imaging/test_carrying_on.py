"""A person beyond the photo's border."""

from __future__ import annotations

import numpy as np
import pytest

from moda.imaging.carrying_on import carry_on

SIDE, PAD = 60, 20
CHIN = 40.0
NOWHERE = np.zeros((SIDE, SIDE), bool)


def photo(person: np.ndarray) -> np.ndarray:
    """Rows tell their number in red, columns in green; the person is marked in blue."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    return np.dstack([rows, columns, 255 * person, 255 * person]).astype(np.uint8)


def carried(person: np.ndarray, face: np.ndarray = NOWHERE) -> np.ndarray:
    picture = carry_on(photo(person), face, CHIN, (PAD, PAD, PAD, PAD))
    assert picture.shape == (SIDE + 2 * PAD, SIDE + 2 * PAD, 4)
    assert np.array_equal(picture[PAD:-PAD, PAD:-PAD], photo(person)), "the photo itself stays"
    return picture


def block(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    person = np.zeros((SIDE, SIDE), bool)
    person[top:bottom, left:right] = True
    return person


def test_hair_cut_by_the_upper_border_is_rounded_off_in_its_own_colours() -> None:
    picture = carried(block(0, 30, 20, 40))
    height = (picture[:PAD, PAD : PAD + SIDE, 3] > 127).sum(axis=0)
    assert height[30] > height[22] > 0 and height[30] < 10 and height[:20].max() == height[40:].max() == 0
    above = picture[PAD - height[30] : PAD, PAD + 30]
    assert (above[:, 2] == 255).all(), "of the person"
    assert above[:, 0].tolist() == list(range(len(above)))[::-1], "mirrored: row 0 first"


def test_no_colours_come_from_the_face_or_from_beside_thin_hair() -> None:
    face = block(6, 40, 20, 40)
    picture = carried(block(0, 45, 18, 42), face)
    hair = picture[:PAD][picture[:PAD, :, 3] > 127]
    assert len(hair) > 20 and hair[:, 0].max() < 6
    thin = carried(block(0, 3, 10, 50))
    hair = thin[:PAD][thin[:PAD, :, 3] > 127]
    assert len(hair) > 20 and (hair[:, 2] == 255).all()


def test_the_body_goes_on_below_and_shoulders_go_down_outwards() -> None:
    person = block(30, 60, 0, 60)
    picture = carried(person)
    assert (picture[-PAD:, PAD:-PAD, 3] == 255).all()
    for outside in (picture[:, PAD - 8], picture[:, SIDE + PAD + 7]):
        assert (outside[: PAD + 30 + 3, 3] == 0).all() and (outside[PAD + 30 + 6 :, 3] == 255).all()


def test_what_the_corner_cuts_goes_on_beyond_it() -> None:
    picture = carried(block(0, 60, 0, 60))
    assert (picture[PAD:, :, 3] == 255).all()
    assert picture[PAD - 4 : PAD, PAD - 4 : PAD, 3].all() and picture[0, 0, 3] == 0


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (0, 20, 0, 0), (5, 0, 0, 7)])
def test_only_what_is_missing_is_added(pads: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = pads
    picture = carry_on(photo(block(0, 60, 20, 40)), NOWHERE, CHIN, pads)
    assert picture.shape == (SIDE + top + bottom, SIDE + left + right, 4)
    assert np.array_equal(picture[top : top + SIDE, left : left + SIDE], photo(block(0, 60, 20, 40)))

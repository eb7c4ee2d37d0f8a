"""The photo around a portrait's square."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moda.imaging.crop import Box, crop_square
from moda.imaging.margin import crop_margin, margin_of, wide_box, with_margin
from moda.imaging.warping import ReferenceWarp
from moda.landmarks import FACE_OVAL
from moda.representation import MARGIN, Portrait
from moda.tracking.portrait import make_portrait, make_reference
from tests.imaging.test_drawing import frontal_face


def photo(height: int = 300, width: int = 400) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)


def test_the_margin_is_the_photo_and_says_where_the_photo_ends() -> None:
    box = Box(20, 100, 80)
    more = margin_of(80)
    assert wide_box(box) == Box(0, 80, 120) and more == round(MARGIN * 80)
    margin = crop_margin(photo(), box, np.ones((60, 60), np.float32), 80)
    assert margin is not None and margin.seen.all()
    assert np.array_equal(margin.image, photo()[80:200, 0:120])
    cornered = crop_margin(photo(), Box(0, 0, 80), np.ones((60, 60), np.float32), 80)
    assert cornered is not None
    assert cornered.seen[more:, more:].all() and not cornered.seen[:more].any() and not cornered.seen[:, :more].any()


def test_a_photo_that_ends_at_the_square_has_no_margin() -> None:
    assert crop_margin(photo(80, 80), Box(0, 0, 80), np.ones((60, 60), np.float32), 80) is None


def test_beyond_the_photo_its_border_goes_on_with_the_mask_of_the_border() -> None:
    person = np.zeros((120, 120), np.float32)
    person[:, 60:] = 1
    person[:20] = 1  # of rows that no photo shows: must not count
    margin = crop_margin(photo(), Box(20, 0, 80), person, 80)
    assert margin is not None
    assert (margin.person[:20, :55] == 0).all() and (margin.person[:20, 65:] == 1).all()


def test_the_square_itself_stays_and_what_is_known_surrounds_it() -> None:
    image, box = photo(), Box(100, 60, 100)
    square = crop_square(image, box, 100)
    person = np.zeros((100, 100), np.float32)
    around = np.zeros((150, 150), np.float32)
    around[:, 100:] = 1
    margin = crop_margin(image, box, around, 100)
    picture, background = with_margin(square, person, frontal_face(), margin)
    assert picture.shape == (150, 150, 4) and background.shape == (100, 100, 3)
    known = np.abs(picture[..., :3].astype(int) - image[35:185, 75:225])
    assert (known.max(axis=2) <= 1).mean() > 0.9
    assert (picture[:30, 25:85, 3] == 0).all() and (picture[:, 135:, 3] == 255).all()
    assert np.abs(background[:, :40] - square[:, :40]).max() < 1
    alone, _ = with_margin(square, np.ones((100, 100), np.float32), frontal_face(), None)
    assert (alone[-1, 25:125, 3] == 255).all(), "the body goes on below"


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray) -> Portrait:
    return make_portrait(astronaut, 256)


def test_hair_above_the_square_comes_down_with_the_head(astronaut: np.ndarray, portrait: Portrait) -> None:
    """The head moves down by a tenth: with the photo's own pixels above, the top is nearer to the photo itself."""
    down = 0.06 * 512
    moved = portrait.landmarks + np.array([0, down, 0], np.float32)
    box = make_reference(astronaut, 256).box
    shift = round(down / 512 * box.side)
    truth = crop_square(astronaut, Box(box.left, box.top - shift, box.side), 256).astype(float)
    oval = portrait.landmarks[list(FACE_OVAL), 0] / 2
    hair = slice(0, shift), slice(int(oval.min()), int(oval.max()))

    def error(of: Portrait) -> float:
        warp = ReferenceWarp(of, 256)
        picture, _ = warp.warp(warp.targets(moved[None], portrait.torso[None])[0])
        return float(np.abs(picture[hair] - truth[hair]).mean())

    assert portrait.margin is not None
    with_photo, without = error(portrait), error(replace(portrait, margin=None))
    assert with_photo < 0.7 * without, (with_photo, without)

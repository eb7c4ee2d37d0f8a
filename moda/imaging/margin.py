"""What lies around the square of a portrait: a head that moves down shows the hair above the square, not its edge.

Where the photo goes on, its own pixels are taken; beyond its border the person is carried on (`carrying_on.py`).
"""

from __future__ import annotations

import numpy as np

from moda.imaging.carrying_on import carry_on
from moda.imaging.crop import Box, crop_square, resized
from moda.imaging.drawing import polygon_mask
from moda.imaging.matte import cut_out
from moda.imaging.surroundings import CHIN
from moda.landmarks import FACE_OVAL
from moda.representation import FRAME, MARGIN, Margin


def margin_of(size: int) -> int:
    """Pixels that are added on each side of a square of `size` pixels."""
    return round(MARGIN * size)


def wide_box(box: Box) -> Box:
    """The square of the photo that a `Margin` around `box` shows; it may reach over the border."""
    more = margin_of(box.side)
    return Box(box.left - more, box.top - more, box.side + 2 * more)


def _seen(image: np.ndarray, box: Box, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows and which columns of `wide_box(box)`, side x side pixels, lie in the photo: (side,) bool each."""
    around = wide_box(box)
    steps = (np.arange(side) + 0.5) * (around.side / side)
    down, across = (
        (start + steps > 0) & (start + steps < length)
        for start, length in zip((around.top, around.left), image.shape[:2], strict=True)
    )
    return down, across


def photo_goes_on(image: np.ndarray, box: Box, size: int) -> bool:
    """Whether a photo (H, W, 3) shows anything around `box`, for a portrait of `size` pixels."""
    pad = margin_of(size)
    down, across = _seen(image, box, size + 2 * pad)
    return bool(down.sum() * across.sum() > down[pad : pad + size].sum() * across[pad : pad + size].sum())


def crop_margin(image: np.ndarray, box: Box, person: np.ndarray, size: int) -> Margin | None:
    """The margin around `box` of a photo (H, W, 3), for a portrait of `size` pixels; None if the photo ends there.

    person: person mask of `wide_box(box)`, any size.
    """
    if not photo_goes_on(image, box, size):
        return None
    side = size + 2 * margin_of(size)
    down, across = _seen(image, box, side)
    mask = resized(person, (side, side))
    rows, columns = (np.clip(np.arange(side), *np.flatnonzero(axis)[[0, -1]]) for axis in (down, across))
    mask = np.clip(mask, 0, 1)[np.ix_(rows, columns)].astype(np.float32)
    return Margin(crop_square(image, wide_box(box), side), mask, np.outer(down, across))


def with_margin(
    image: np.ndarray, person: np.ndarray, landmarks: np.ndarray, margin: Margin | None
) -> tuple[np.ndarray, np.ndarray]:
    """The person of a square picture, cut out and carried on by `MARGIN` on each side: (M, M, 4) uint8, colours and how
    much of a pixel is person; and the square's background, (H, H, 3) float32, without the person.

    image: (H, H, 3) uint8. person: (H, H), 0..1. landmarks: (478, 3), pixels of the square frame.
    """
    size, pad = len(image), margin_of(len(image))
    inner, side = slice(pad, pad + size), size + 2 * pad
    picture, mask = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.float32)
    seen = np.zeros((side, side), bool)
    if margin is not None:
        picture, mask, seen = margin.image.copy(), margin.person.copy(), margin.seen.copy()
    picture[inner, inner], mask[inner, inner], seen[inner, inner] = image, person, True
    (top, bottom), (left, right) = (np.flatnonzero(seen.any(axis=axis))[[0, -1]] for axis in (1, 0))
    shown = slice(top, bottom + 1), slice(left, right + 1)
    matte = cut_out(picture[shown], mask[shown], size)
    face = polygon_mask((landmarks[list(FACE_OVAL), :2] + pad * FRAME / size) * (size / side), side)[shown] > 0.5
    whole = np.dstack([np.where(face[..., None], picture[shown], matte.colour), np.round(matte.alpha * 255)])
    whole[face, 3] = 255
    chin = float(landmarks[CHIN, 1]) * size / FRAME + pad - top
    pads = int(top), int(side - 1 - bottom), int(left), int(side - 1 - right)
    square = slice(pad - top, pad - top + size), slice(pad - left, pad - left + size)
    return carry_on(whole.astype(np.uint8), face, chin, pads), matte.background[square]

"""What lies around the square of a portrait: a head that moves down shows the hair above the square, not its edge.

Where the photo goes on, its own pixels are taken; beyond its border, the border's go on.
"""

from __future__ import annotations

import cv2
import numpy as np

from moda.imaging.crop import Box, crop_square, resized
from moda.imaging.drawing import polygon_mask
from moda.imaging.surroundings import CHIN
from moda.landmarks import FACE_OVAL
from moda.representation import FRAME, MARGIN, Margin

SKULL_SCALE = 1.35
"""A head goes on beyond the photo's border up to the face oval, scaled by this."""


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


def with_margin(image: np.ndarray, person: np.ndarray, landmarks: np.ndarray, margin: Margin | None) -> np.ndarray:
    """A square picture and its person mask as four channels, uint8, carried on by `MARGIN` on each side.

    image: (H, H, 3) uint8. person: (H, H), 0..1. landmarks: (478, 3), pixels of the square frame. Where the photo
    has ended its border's pixels go on: the body to the margin's edge, a head as far as a skull goes.
    """
    size, pad = len(image), margin_of(len(image))
    inner = slice(pad, pad + size)
    square = np.dstack([image, np.round(person * 255).astype(np.uint8)])
    if margin is None:
        picture = cv2.copyMakeBorder(square, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        seen = np.zeros(picture.shape[:2], bool)
    else:
        picture = np.dstack([margin.image, np.round(margin.person * 255).astype(np.uint8)])
        picture[inner, inner] = square
        seen = margin.seen.copy()
    seen[inner, inner] = True
    alpha = picture[..., 3]
    np.copyto(alpha, np.round(alpha * _body(landmarks, size)), where=~seen, casting="unsafe")
    return picture


def _body(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Where a person may be that no picture shows: within a skull around the face oval, and below the chin."""
    pad = margin_of(size)
    side = size + 2 * pad
    oval = landmarks[list(FACE_OVAL), :2]
    centre = oval.mean(axis=0)
    skull = centre + SKULL_SCALE * (oval - centre)
    mask = polygon_mask((skull + pad * FRAME / size) * (size / side), side)
    rows = (np.arange(side) + 0.5 - pad) * (FRAME / size)
    mask[rows > landmarks[CHIN, 1]] = 1
    return mask

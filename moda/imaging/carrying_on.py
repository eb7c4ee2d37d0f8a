"""How a person goes on beyond the border of a photo that cuts hair, hat or shoulders.

What a photo cuts at its upper border is rounded off, shoulders go on downwards and outwards, and the body goes on
below. The colours are the photo's own, mirrored at its border as deep as the person goes there: hair keeps its texture.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from moda.stretches import stretches

DOME_SHARE = 0.2
"""Height of what is rounded off, at most, as a share of the width that the border cuts."""
SPREAD_SHARE = 0.08
"""How far below the border it is looked at how fast the person grows wider, as a share of that width."""
SHOULDER_SLOPE = 0.5
"""How far a shoulder or long hair goes down while it goes one pixel outwards."""
MIRRORED_SHARE, MAX_MIRRORED_SHARE = 0.8, 0.08
"""How deep the mirrored colours reach: as a share of the person's depth at the border, and at most of the picture's."""
PERSON = 127
"""Values of the mask above this are the person."""


def carry_on(picture: np.ndarray, face: np.ndarray, chin: float, pads: tuple[int, int, int, int]) -> np.ndarray:
    """A photo with its person mask (H, W, 4) uint8, larger by pads = (top, bottom, left, right) pixels.

    face: (H, W) bool, where colours are never taken from. chin: its row.
    """
    top, bottom, left, right = pads
    whole = np.dstack([picture, face.astype(np.uint8)])
    whole = np.rot90(_upwards(np.rot90(whole, 2), bottom, _endless), 2)
    whole = _upwards(whole, top, _rounded)

    def sideways(start: int, stop: int, size: int, most: int, spread: float) -> np.ndarray:
        if stop <= chin + top:
            return _rounded(start, stop, size, most, spread)
        return np.full(stop, most) if start == 0 else (np.arange(stop - start) + 0.5) / SHOULDER_SLOPE

    turned = whole.transpose(1, 0, 2)  # a column of the photo as a row: that at the left is uppermost
    turned = _upwards(turned, left, sideways)[::-1]
    turned = _upwards(turned, right, sideways)[::-1]
    return np.ascontiguousarray(turned.transpose(1, 0, 2)[..., :4])


def _endless(start: int, stop: int, size: int, most: int, spread: float) -> np.ndarray:
    return np.full(stop - start, most)


def _rounded(start: int, stop: int, size: int, most: int, spread: float) -> np.ndarray:
    """An arch over a run, whose ends go on as the outline came: steep with a spread of 0, flat with a large one. One
    that ends at the photo's corner goes on beyond it.
    """
    columns = np.arange(start, stop) + 0.5
    first, last = start - most * (start == 0), stop + most * (stop == size)
    across = (columns - (first + last) / 2) / ((last - first) / 2)
    height = min(DOME_SHARE, 0.25 / max(spread, 1e-3)) * (last - first)  # of a parabola that ends with that slope
    return np.asarray(height * (1 - across**2) ** np.clip(0.5 + spread / 2, 0.5, 1))


def _spread(person: np.ndarray, start: int, stop: int) -> float:
    """By how many pixels a row the run grows on either side below the upper border, 0 or more."""
    rows = min(max(2, round(SPREAD_SHARE * (stop - start))), len(person) - 1)
    reach = 4 * rows
    first, last = max(0, start - reach), min(person.shape[1], stop + reach)
    ends = (start > 0) + (stop < person.shape[1])
    return max(0.0, float(person[rows, first:last].sum() - (stop - start)) / (rows * max(ends, 1)))


def _upwards(picture: np.ndarray, rows: int, limit: Callable[[int, int, int, int, float], np.ndarray]) -> np.ndarray:
    """`rows` more rows above (H, W, 5): colours, mask, face. limit: how many rows the columns of a run go on."""
    if rows == 0:
        return picture
    height, width = picture.shape[:2]
    person = picture[..., 3] > PERSON
    reach, depth, even = np.zeros(width), np.ones(width), np.ones((1, 2 * (width // 32) + 1), np.uint8)
    for start, stop in stretches(person[0]):
        reach[start:stop] = limit(start, stop, width, rows, _spread(person, start, stop))
        hidden = ~person[:, start:stop] | (picture[:, start:stop, 4] > 0)
        thick = np.where(hidden.any(axis=0), hidden.argmax(axis=0), height)
        thick = cv2.blur(cv2.erode(thick.astype(np.float32)[None], even), even.shape[::-1])[0]
        depth[start:stop] = np.clip(MIRRORED_SHARE * thick, 1, MAX_MIRRORED_SHARE * height)
    above = np.arange(rows, 0, -1)[:, None]
    source = depth - np.abs((above - 1) % (2 * depth) - depth)  # 0, 1, ... depth, ... 1, 0, 1, ...
    source = np.clip(np.round(source), 0, height - 1).astype(int)
    more = picture[source, np.arange(width)]
    share = np.clip(reach - above + 1, 0, 1)
    more[..., 3] = np.round(picture[0, :, 3] * share)
    more[..., 4] = 0
    return np.concatenate([more, picture])

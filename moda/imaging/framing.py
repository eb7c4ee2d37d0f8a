"""The animated square goes back into the whole picture it was cut from.

Nothing moves outside the person: there the picture itself is shown, so the background is still and as sharp as
the source. The blend follows the person, widened by how far it moves, and fades out towards those borders of the
square beyond which the picture goes on: on the border every pixel is the picture's own, also where the chest or
the hair crosses it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from moda.imaging.crop import Box, resized
from moda.landmarks import FACE_OVAL
from moda.media.container import open_container
from moda.representation import FRAME, Portrait

LOWER_FADE_SHARE, SIDE_FADE_SHARE = 0.14, 0.06
"""Width of the fade inside the lower border and inside the others, as shares of the square's side."""
PERSON_FEATHER_SHARE = 0.03
"""Width of the soft edge around the moving person, as a share of the square's side."""
MIN_PERSON_MASK = 0.1
"""A pixel with more of the person than this moves with it."""
HAIR_REACH_FACTOR = 1.3
"""How much farther hair may move than the face's outline."""
MIN_REACH_PX = 4.0
"""Pixels of the square frame by which the person is widened at least: the mask is not exact."""
_TAG = "MODA animated square"
_TAGGED = re.compile(rf"{_TAG}: left (-?[\d.]+), top (-?[\d.]+), width ([\d.]+), height ([\d.]+) of (\d+)x(\d+)")


@dataclass(frozen=True)
class Square:
    """Where the square lies in a video's picture: pixels, not whole ones, and it may reach over the border.

    It is a square in its source; where a picture was scaled to even sides it is one to a thousandth.
    """

    left: float
    top: float
    width: float
    height: float

    def tag(self, picture_size: tuple[int, int]) -> dict[str, str]:
        """Metadata of a video of that width and height that records its square (`read_square`)."""
        place = f"left {self.left:.3f}, top {self.top:.3f}, width {self.width:.3f}, height {self.height:.3f}"
        return {"description": f"{_TAG}: {place} of {picture_size[0]}x{picture_size[1]}"}


@dataclass(frozen=True)
class Still:
    """The picture at rest: (H, W, 3) uint8 RGB with even sides, and the square in it."""

    picture: np.ndarray
    square: Square

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.picture.shape[1], self.picture.shape[0]


def still_picture(image: np.ndarray, box: Box, long_side: int) -> Still:
    """The picture (H, W, 3) uint8 as a video can show it: sides at most `long_side`, and even.

    A picture that fits is not scaled: an odd last row or column is left out.
    """
    height, width = image.shape[:2]
    scale = long_side / max(width, height)
    if scale >= 1:
        return Still(image[: height - height % 2, : width - width % 2], Square(*box, box.side))
    wide, high = (max(2, 2 * round(side * scale / 2)) for side in (width, height))
    across, down = wide / width, high / height
    square = Square(box.left * across, box.top * down, box.side * across, box.side * down)
    return Still(cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA), square)


def motion_reach(parts: Iterable[tuple[np.ndarray, np.ndarray]], portrait: Portrait) -> float:
    """How far the person goes from where the portrait has it, pixels of the square frame.

    parts: face (T, 478, 3) and torso (T, 18, 3) of one stretch after the other, pixels of the square frame.
    """
    oval, reach = list(FACE_OVAL), MIN_REACH_PX
    for face, torso in parts:
        head = np.linalg.norm((face[:, oval] - portrait.landmarks[oval])[..., :2], axis=-1).max(initial=0.0)
        body = np.linalg.norm((torso - portrait.torso)[..., :2], axis=-1).max(initial=0.0)
        reach = max(reach, HAIR_REACH_FACTOR * float(head), float(body))
    return reach


class FullFraming:
    """Lays animated squares over one still picture. All that depends on the picture alone is done once.

    person: (S, S) float32 person mask of the square, 0..1. reach: see `motion_reach`.
    """

    def __init__(self, still: Still, person: np.ndarray, reach: float) -> None:
        self._picture = np.ascontiguousarray(still.picture)
        square, (width, height) = still.square, still.size
        self._drawn = max(1, round(square.width)), max(1, round(square.height))
        rows = range(max(0, math.floor(square.top)), min(height, math.ceil(square.top + square.height)))
        columns = range(max(0, math.floor(square.left)), min(width, math.ceil(square.left + square.width)))
        weight = self._placed(_person_weight(person, reach), square, rows, columns)
        weight *= _fade(square.top, square.height, rows, height, LOWER_FADE_SHARE)[:, None]
        weight *= _fade(square.left, square.width, columns, width, SIDE_FADE_SHARE)
        self._square = square
        self._rows = _touched(np.any(weight > 0, axis=1), rows)
        self._columns = _touched(np.any(weight > 0, axis=0), columns)
        self._weight = np.ascontiguousarray(
            weight[self._rows.start - rows.start :, self._columns.start - columns.start :][
                : len(self._rows), : len(self._columns)
            ]
        )
        self._rest = 1 - self._weight

    def __call__(self, animated: np.ndarray) -> np.ndarray:
        """An animated square (S, S, 3) uint8 -> the whole picture (H, W, 3) uint8, a new array."""
        picture = self._picture.copy()
        part = picture[self._rows.start : self._rows.stop, self._columns.start : self._columns.stop]
        if part.size:
            placed = self._placed(animated, self._square, self._rows, self._columns)
            part[:] = cv2.blendLinear(placed, np.ascontiguousarray(part), self._weight, self._rest)
        return picture

    def _placed(self, image: np.ndarray, square: Square, rows: range, columns: range) -> np.ndarray:
        """Those rows and columns of the whole picture, as a square image (S, S[, 3]) of any size shows them."""
        if self._drawn != image.shape[1::-1]:
            image = resized(image, self._drawn, cv2.INTER_LINEAR if image.ndim == 2 else cv2.INTER_CUBIC)
        across, down = square.width / self._drawn[0], square.height / self._drawn[1]
        left, top = square.left - columns.start, square.top - rows.start
        if across == down == 1 and left == round(left) and top == round(top):
            return np.ascontiguousarray(
                image[-round(top) : len(rows) - round(top), -round(left) : len(columns) - round(left)]
            )
        # Less than a pixel away, where the picture was scaled. Pixel i has its centre at i + 0.5.
        shift = np.array([[across, 0, left + 0.5 * across - 0.5], [0, down, top + 0.5 * down - 0.5]])
        size = len(columns), len(rows)
        return np.asarray(cv2.warpAffine(image, shift, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def read_square(path: Path | str) -> Square | None:
    """The square recorded in a video's tags, in pixels of its picture; None without such a tag.

    Raises `MediaError` for a file that is missing or empty.
    """
    with open_container(Path(path), "video") as container:
        found = _TAGGED.search(container.metadata.get("description", ""))
    return None if found is None else Square(*(float(value) for value in found.groups()[:4]))


def _person_weight(person: np.ndarray, reach: float) -> np.ndarray:
    """(S, S) float32: 1 on the person and `reach` around it, 0 from `PERSON_FEATHER_SHARE` farther on."""
    side = len(person)
    away = cv2.distanceTransform((person <= MIN_PERSON_MASK).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return _smooth(1 - (away - reach * side / FRAME) / (PERSON_FEATHER_SHARE * side))


def _fade(start: float, length: float, pixels: range, whole: int, after: float) -> np.ndarray:
    """Weight of each of the picture's `pixels` along one axis, where the square lies at `start`, `length` long.

    It falls to 0 on the outermost pixel of the square, but not where the picture (`whole` pixels) ends too.
    after: width of the fade at the far end, as a share of the length; `SIDE_FADE_SHARE` at the near end.
    """
    at = np.array(pixels) + 0.5 - start
    near = _smooth((at - 1) / (SIDE_FADE_SHARE * length)) if start > 0 else np.float32(1)
    far = _smooth((length - at - 1) / (after * length)) if start + length < whole else np.float32(1)
    return np.asarray(near * far * np.ones(len(pixels), np.float32))


def _touched(used: np.ndarray, pixels: range) -> range:
    """The stretch of `pixels` from the first to the last that is used; an empty one if none is."""
    where = np.flatnonzero(used)
    return pixels[where[0] : where[-1] + 1] if len(where) else pixels[:0]


def _smooth(values: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and without a kink between (smoothstep)."""
    values = np.clip(values, 0, 1).astype(np.float32)
    return np.asarray(values * values * (3 - 2 * values), np.float32)

"""The square crop around head and shoulders: one rule for preparation and inference.

Coordinates are continuous: pixel `i` of a picture covers `[i, i + 1)`, so scaling needs no half pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from moda.errors import MediaError
from moda.representation import FRAME

CROP_SIDE_FACES = 2.0
"""Side of the crop, in sizes of the face mesh (the larger of its width and height)."""
FACE_CENTRE_Y = 0.45
"""Height of the face's centre in the crop, from its top: leaves room for the shoulders."""


class Box(NamedTuple):
    """A square of a source picture, pixels; inside the picture, unless it was allowed to reach over its border."""

    left: int
    top: int
    side: int


def face_size(landmarks: np.ndarray) -> np.ndarray:
    """(..., 478, D) -> (...): the larger of the mesh's width and height, same unit."""
    points = np.asarray(landmarks)[..., :2]
    return (points.max(axis=-2) - points.min(axis=-2)).max(axis=-1)


def square_box(landmarks: np.ndarray, width: int, height: int, *, over_border: bool = False) -> Box:
    """The crop for a face that moves as `landmarks` in a picture of `width` x `height`.

    landmarks: (T, 478, 2 or 3) or (478, 2 or 3) pixels of the source; medians over time are used.
    The box is twice the face, its centre 45 % from the top; it shrinks to the picture, then moves inside it.
    over_border: it does not move, so the face keeps its place in the square (`crop_square` fills what is missing).
    """
    points = np.asarray(landmarks, np.float64)
    points = points.reshape(-1, *points.shape[-2:])[..., :2]
    limit = min(width, height)
    if len(points) == 0 or not np.isfinite(points).all():
        raise MediaError(f"cannot place a crop: {len(points)} frames of landmarks, or some that are not finite")
    size = float(np.median(face_size(points)))
    centre = np.median((points.max(axis=1) + points.min(axis=1)) / 2, axis=0)
    side = min(round(CROP_SIDE_FACES * size), limit)
    side = max(side - side % 2, min(2, limit))
    left, top = round(centre[0] - 0.5 * side), round(centre[1] - FACE_CENTRE_Y * side)
    if not over_border:
        left, top = int(np.clip(left, 0, width - side)), int(np.clip(top, 0, height - side))
    return Box(left, top, side)


def crop_square(image: np.ndarray, box: Box, size: int) -> np.ndarray:
    """Cut `box` out of an (H, W[, C]) picture and scale it to (size, size[, C]); area filter when shrinking.

    Where the box reaches over the picture's border, the border's pixels go on.
    """
    right, bottom = box.left + box.side, box.top + box.side
    cut = image[max(box.top, 0) : max(bottom, 0), max(box.left, 0) : max(right, 0)]
    if cut.shape[:2] != (box.side, box.side):
        height, width = image.shape[:2]
        missing = (max(-box.top, 0), max(bottom - height, 0), max(-box.left, 0), max(right - width, 0))
        cut = cv2.copyMakeBorder(cut, *missing, cv2.BORDER_REPLICATE)
    if box.side == size:
        return np.ascontiguousarray(cut)
    return resized(cut, (size, size), cv2.INTER_CUBIC)


def resized(image: np.ndarray, size: tuple[int, int], enlarging: int = cv2.INTER_LINEAR) -> np.ndarray:
    """An (H, W[, C]) picture at another width and height: by OpenCV's filter `enlarging`, by area when it shrinks."""
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if size[0] < image.shape[1] else enlarging)


def face_rectangle(landmarks: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the pixels that landmarks (..., 2 or 3) of a picture span."""
    points = landmarks[..., :2]
    left, top = np.clip(np.floor(points.min(axis=0)).astype(int), 0, None)
    right, bottom = np.ceil(points.max(axis=0)).astype(int)
    return slice(top, bottom), slice(left, right)


def to_frame(landmarks: np.ndarray, box: Box) -> np.ndarray:
    """(..., 2 or 3) pixels of the source -> pixels of the square frame; z is scaled alike."""
    offset = np.zeros(np.shape(landmarks)[-1])
    offset[:2] = box.left, box.top
    return (np.asarray(landmarks) - offset) * (FRAME / box.side)


def from_frame(landmarks: np.ndarray, box: Box) -> np.ndarray:
    """The inverse of `to_frame`."""
    offset = np.zeros(np.shape(landmarks)[-1])
    offset[:2] = box.left, box.top
    return np.asarray(landmarks) * (box.side / FRAME) + offset

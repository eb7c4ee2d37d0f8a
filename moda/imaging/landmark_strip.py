"""A strip of small pictures with the landmarks drawn: to check the tracking by eye."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from moda import landmarks as lm
from moda.files import write_bytes
from moda.imaging.crop import resized
from moda.imaging.drawing import BLUE, CLOSED_CONTOURS, RED, SUBPIXEL_BITS

THUMBNAIL_SIDE_PX = 128
"""Side of a thumbnail, pixels."""
MAX_THUMBNAILS = 8
"""Thumbnails in a strip."""
SUPERSAMPLING = 2
"""Lines are drawn in a picture so many times larger and shrunk with it: thinner than a pixel."""
LINE_OPACITY = 0.75
"""Of the lines, so that what lies under them can be compared."""
BORDER_PX = 3
JPEG_QUALITY = 85

JPEG = (
    *(cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)
"""Colour at full resolution, or thin coloured lines turn grey."""


def evenly(frames: int, most: int = MAX_THUMBNAILS) -> list[int]:
    """At most `most` of `frames` frames, each the middle one of an equal part: thumbnail i of n then
    stands over the part from i/n to (i+1)/n of a time axis under the strip.
    """
    count = min(frames, most)
    return [(2 * index + 1) * frames // (2 * count) for index in range(count)]


def thumbnail(picture: np.ndarray, landmarks: np.ndarray | None, torso: np.ndarray | None = None) -> np.ndarray:
    """One picture, whole, on a square of `THUMBNAIL_SIDE_PX` pixels.

    picture: (H, W, 3) uint8 RGB. landmarks: (478, 2 or 3) and torso: (18, 2 or 3), pixels of that
    picture; without landmarks the square gets a red border. Returns a square of `THUMBNAIL_SIDE_PX`, uint8 RGB.
    """
    height, width = picture.shape[:2]
    large = SUPERSAMPLING * THUMBNAIL_SIDE_PX
    factor = large / max(height, width)
    inner = max(1, round(width * factor)), max(1, round(height * factor))
    left, top = (large - inner[0]) // 2, (large - inner[1]) // 2
    square = np.zeros((large, large, 3), np.uint8)
    square[top : top + inner[1], left : left + inner[0]] = resized(picture, inner)
    drawn = square.copy()

    def place(points: np.ndarray) -> np.ndarray:
        scaled = points[..., :2] * factor - 0.5 + (left, top)
        return np.round(np.clip(np.nan_to_num(scaled), -large, 2 * large) * (1 << SUBPIXEL_BITS)).astype(np.int32)

    if torso is not None:
        shoulders = place(torso).reshape(2, lm.SHOULDER_POINTS, 2)
        cv2.polylines(drawn, list(shoulders), False, BLUE, SUPERSAMPLING, cv2.LINE_AA, SUBPIXEL_BITS)
    if landmarks is None:
        cv2.rectangle(drawn, (0, 0), (large - 1, large - 1), RED, 2 * BORDER_PX)
    else:
        points = place(landmarks)
        for contour, colour in CLOSED_CONTOURS:
            cv2.polylines(drawn, [points[list(contour)]], True, colour, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    mixed = cv2.addWeighted(drawn, LINE_OPACITY, square, 1.0 - LINE_OPACITY, 0.0)
    return resized(mixed, (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX))


def write_strip(
    path: Path,
    pictures: Sequence[np.ndarray],
    landmarks: Sequence[np.ndarray | None],
    torso: Sequence[np.ndarray] | None = None,
) -> None:
    """Write thumbnails side by side as one JPEG, whole or not at all; the same input gives the same bytes.

    pictures: (H, W, 3) uint8 RGB of any shape; of more than `MAX_THUMBNAILS`, evenly chosen ones are taken.
    landmarks: of each picture (478, 3) pixels of that picture, or None where there is no face.
    torso: of each picture (18, 3) shoulder points, likewise.
    Raises `ValueError` for no picture or lists of unequal length, `OutputError` if the place cannot be written.
    """
    if not pictures or len(landmarks) != len(pictures) or (torso is not None and len(torso) != len(pictures)):
        raise ValueError(f"a strip of {len(pictures)} pictures with {len(landmarks)} sets of landmarks")
    chosen = evenly(len(pictures))
    thumbnails = [thumbnail(pictures[i], landmarks[i], None if torso is None else torso[i]) for i in chosen]
    strip = np.concatenate(thumbnails, axis=1)
    good, data = cv2.imencode(".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), list(JPEG))
    assert good
    write_bytes(path, data.tobytes())

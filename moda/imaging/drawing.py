"""The condition image I_t^c: landmarks and shoulders drawn on black (docs/method.md, section 5).

One drawing for training and inference. It is drawn when needed and never stored, so that no
lossy video stands between the landmarks and the network.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from moda import landmarks as lm
from moda.representation import FRAME

Colour = tuple[int, int, int]
GREY: Colour = (72, 72, 72)
WHITE: Colour = (255, 255, 255)
GREEN: Colour = (48, 255, 48)
RED: Colour = (255, 48, 48)
BLUE: Colour = (64, 128, 255)

SUBPIXEL_BITS = 4

CLOSED_CONTOURS: tuple[tuple[tuple[int, ...], Colour], ...] = (
    (lm.FACE_OVAL, WHITE),
    (lm.OUTER_LIPS, WHITE),
    (lm.INNER_LIPS, WHITE),
    (lm.LEFT_EYE_CONTOUR, GREEN),
    (lm.LEFT_EYEBROW_CONTOUR, GREEN),
    (lm.LEFT_IRIS, GREEN),
    (lm.RIGHT_EYE_CONTOUR, RED),
    (lm.RIGHT_EYEBROW_CONTOUR, RED),
    (lm.RIGHT_IRIS, RED),
)
"""Contours by semantic group; left (the subject's) is green, right is red."""


@lru_cache(maxsize=1)
def tessellation() -> np.ndarray:
    """Unique edges of the canonical face's triangles: (E, 2) landmark indices."""
    triangles = lm.canonical_face().triangles
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(edges, axis=1), axis=0)


@lru_cache(maxsize=1)
def _trails() -> tuple[np.ndarray, tuple[int, ...]]:
    """The tessellation as few polylines, each edge once: indices (P,), and where each begins and the last ends.

    An array a polyline costs more than its lines: 91 of them, not 1,365.
    """
    neighbours: dict[int, set[int]] = {}
    for a, b in tessellation().tolist():
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    points: list[int] = []
    starts: list[int] = []
    while any(neighbours.values()):
        # A trail that begins where an odd number of edges is left ends at another such point.
        at = next((v for v, others in neighbours.items() if len(others) % 2), None)
        at = next(v for v, others in neighbours.items() if others) if at is None else at
        starts.append(len(points))
        points.append(at)
        while neighbours[at]:
            following = min(neighbours[at])
            neighbours[at].remove(following)
            neighbours[following].remove(at)
            points.append(at := following)
    return np.array(points), (*starts, len(points))


def to_subpixels(points: np.ndarray, size: int) -> np.ndarray:
    """Points (..., D) of the square frame as fixed-point pixels of a size x size picture, int32."""
    scaled = points[..., :2] * (size / FRAME) - 0.5
    return np.round(np.clip(scaled, -4 * size, 5 * size) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def draw_condition(landmarks: np.ndarray, torso: np.ndarray, size: int) -> np.ndarray:
    """Draw landmarks (478, 3) and torso (18, 3), both in the square frame -> (size, size, 3) uint8 RGB."""
    canvas = np.zeros((size, size, 3), np.uint8)
    points = to_subpixels(landmarks, size)
    thickness = max(1, round(size / 256))
    trails, ends = _trails()
    along = points[trails]
    cv2.polylines(
        canvas, [along[start:end] for start, end in pairwise(ends)], False, GREY, 1, cv2.LINE_8, SUBPIXEL_BITS
    )
    for contour, colour in CLOSED_CONTOURS:
        cv2.polylines(canvas, [points[list(contour)]], True, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    shoulders = to_subpixels(torso, size).reshape(2, lm.SHOULDER_POINTS, 2)
    cv2.polylines(canvas, list(shoulders), False, BLUE, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas


def polygon_mask(points: np.ndarray, size: int) -> np.ndarray:
    """Filled polygon of points (P, D) in the square frame -> (size, size) float32, 0 or 1."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [to_subpixels(points, size)], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return mask.astype(np.float32) / 255.0

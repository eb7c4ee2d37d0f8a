"""Areas and overlap of polygons, by scan lines.

Between two neighbouring vertex heights the width of a polygon is linear in y, so its middle line
gives the exact area. Only the overlap bends where edges cross, and for that each such slab is cut
into finer ones, about `MIN_SCAN_LINES` in all. Along x everything is exact. Pixels do not come in, so the
result does not depend on the size of the picture.
"""

from __future__ import annotations

import numpy as np

MIN_SCAN_LINES = 160
"""Scan lines a pair of polygons, at least."""
CHUNK_FRAMES = 256
"""Frames at a time, to bound memory."""


def polygon_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of filled polygons, frame by frame.

    first: (T, P, 2), second: (T, Q, 2) closed contours (the first point not repeated), filled by
    the even-odd rule. Returns (T,); NaN where both are empty.
    """
    chunks = [
        _iou(first[i : i + CHUNK_FRAMES], second[i : i + CHUNK_FRAMES]) for i in range(0, len(first), CHUNK_FRAMES)
    ]
    return np.concatenate(chunks) if chunks else np.zeros(0)


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    heights = np.sort(np.concatenate([first[..., 1], second[..., 1]], axis=1), axis=1)
    slab = np.diff(heights, axis=1)
    lines_a_slab = -(-MIN_SCAN_LINES // slab.shape[1])
    parts = (np.arange(lines_a_slab) + 0.5) / lines_a_slab
    lines = (heights[:, :-1, None] + slab[..., None] * parts).reshape(len(first), -1)
    thickness = np.repeat(slab / lines_a_slab, lines_a_slab, axis=1)

    crossings = [_crossings(polygon, lines) for polygon in (first, second)]
    stops = np.sort(np.concatenate(crossings, axis=2), axis=2)  # (T, L, K), inf where there are fewer
    with np.errstate(invalid="ignore"):
        length = np.diff(stops, axis=2)
    length = np.where(np.isfinite(length), length, 0.0)
    # Inside one polygon after an odd number of its crossings.
    left = stops[..., :-1, None]
    inside = [((c[..., None, :] <= left).sum(axis=-1) % 2 == 1) & np.isfinite(left[..., 0]) for c in crossings]
    both = (length * (inside[0] & inside[1])).sum(axis=2)
    either = (length * (inside[0] | inside[1])).sum(axis=2)
    intersection, union = (both * thickness).sum(axis=1), (either * thickness).sum(axis=1)
    return np.divide(intersection, union, out=np.full(len(first), np.nan), where=union > 0)


def _crossings(polygon: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Where scan lines (T, L) cross the edges of (T, P, 2): sorted x (T, L, K), filled up with inf."""
    start, end = polygon[:, None], np.roll(polygon, -1, axis=1)[:, None]  # (T, 1, P, 2)
    y = lines[..., None]
    crosses = (start[..., 1] <= y) != (end[..., 1] <= y)
    rise = np.where(crosses, end[..., 1] - start[..., 1], 1.0)
    x = start[..., 0] + (y - start[..., 1]) / rise * (end[..., 0] - start[..., 0])
    x = np.sort(np.where(crosses, x, np.inf), axis=2)
    return x[..., : max(1, int(crosses.sum(axis=2).max(initial=0)))]

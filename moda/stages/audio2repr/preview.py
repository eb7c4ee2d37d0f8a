"""A small picture of curves, for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

COLOURS = ((235, 235, 235), (255, 150, 40), (90, 180, 255))
"""Of the first, second and third curve."""


def draw_curves(curves: Sequence[np.ndarray], width: int = 600, height: int = 160) -> np.ndarray:
    """Curves of one length, each (T,), on a common scale -> (height, width, 3) uint8; the grey line is zero."""
    picture = np.full((height, width, 3), 24, np.uint8)
    low = min(0.0, *(float(curve.min()) for curve in curves))
    high = max(low + 1e-6, *(float(curve.max()) for curve in curves))
    margin = 8

    def row(value: np.ndarray) -> np.ndarray:
        share = (np.nan_to_num(value) - low) / (high - low)
        return np.round(height - 1 - margin - share * (height - 1 - 2 * margin)).astype(int).clip(0, height - 1)

    picture[row(np.zeros(1))[0]] = 80
    for curve, colour in zip(curves, COLOURS, strict=False):
        at = np.linspace(0, len(curve) - 1, width)
        rows = row(np.interp(at, np.arange(len(curve)), curve))
        for x in range(width):  # from one column's height to the next one's: a line without holes
            first, last = sorted((rows[max(0, x - 1)], rows[x]))
            picture[first : last + 1, x] = colour
    return picture

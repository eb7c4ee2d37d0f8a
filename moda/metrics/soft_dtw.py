"""Lip distance that forgives small differences of time: the soft-DTW divergence.

Dimension letters: T frames (25 a second), K coordinates.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from moda.landmarks import LIPS
from moda.metrics.landmark import MIN_FRAMES, eye_distance
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric

GAMMA = 0.1
"""Softness of the minimum, percent of the distance between the eyes."""
PIECE_FRAMES = 250
"""Frames (10 s) that are aligned at once; the cost grows with their square."""


@metric(
    name="lmd_soft_dtw", label="LMD, soft-DTW", unit="% eyes", better="lower",
    source="Cuturi and Blondel 2017; divergence of Blondel, Mensch and Vert 2021, equation 10",
)  # fmt: skip
def soft_dtw_distance(clip: ClipPair) -> Value:
    """Soft-DTW divergence a frame of generated and true lips after rigid alignment (gamma 0.1): the cost of two
    frames is their mean lip distance in percent of that between outer eye corners; in pieces of 10 s. Lips that move
    rightly a little early or late cost little here and much in LMD aligned.
    """
    pair = clip.tracks
    if pair.valid.sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face in both videos")
    scale = 100.0 / eye_distance(pair)
    true, generated = (face.canonical[pair.valid][:, list(LIPS), :2] * scale for face in (pair.true, pair.generated))
    pieces = max(1, round(len(true) / PIECE_FRAMES))
    edges = [round(i * len(true) / pieces) for i in range(pieces + 1)]
    return sum(divergence(true[a:b], generated[a:b]) for a, b in pairwise(edges)) / len(true)


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Soft-DTW divergence of two (T, V, 2) sequences of points: 0 for equal ones, else above it."""
    pairs = ((first, second), (first, first), (second, second))
    between, one, two = soft_dtw(np.stack([costs(a, b) for a, b in pairs]), GAMMA)
    return float(between - (one + two) / 2)


def costs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(T, S) float32 mean distance over points of every two frames of (T, V, 2) and (S, V, 2)."""
    one, two = (np.asarray(points, np.float32).transpose(1, 2, 0) for points in (first, second))
    total = np.zeros((len(first), len(second)), np.float32)
    for a, b in zip(one, two, strict=True):  # point by point, to bound memory
        squared = (a[0][:, None] - b[0]) ** 2
        squared += (a[1][:, None] - b[1]) ** 2
        total += np.sqrt(squared, out=squared)
    return total / len(one)


def soft_dtw(cost: np.ndarray, gamma: float) -> np.ndarray:
    """Soft minima (K,) over all monotone paths through (K, T, S) costs, by diagonals (Cuturi and Blondel 2017)."""
    count, rows, columns = cost.shape
    # Row r of a diagonal holds R[r, d - r]; index 0 is the border of infinite cost.
    before, last = np.full((count, rows + 1), np.inf), np.full((count, rows + 1), np.inf)
    before[:, 0] = 0.0
    for diagonal in range(2, rows + columns + 1):
        low, high = max(1, diagonal - columns), min(rows, diagonal - 1) + 1
        ways = np.stack([before[:, low - 1 : high - 1], last[:, low - 1 : high - 1], last[:, low:high]])
        least = ways.min(axis=0)
        soft = least - gamma * np.log(np.exp((least - ways) / gamma).sum(axis=0))
        r = np.arange(low, high)
        current = np.full_like(last, np.inf)
        current[:, low:high] = cost[:, r - 1, diagonal - r - 1] + soft
        before, last = last, current
    return np.asarray(last[:, rows])

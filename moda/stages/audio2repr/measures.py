"""Validation figures of stage 1: lip openings, their correlation, blinks; and a picture of curves for TensorBoard.

Dimension letters: B batch, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from moda.blinks import find_blinks
from moda.landmarks import CENTRAL_LIP_PAIRS, EYES, INNER_LIP_PAIRS, LIPS, eye_opening
from moda.representation import FPS

MIN_LIP_STD_PX = 1e-3
"""A lip opening whose standard deviation is below this many pixels does not move."""
COLOURS = ((235, 235, 235), (255, 150, 40), (90, 180, 255))
"""Of the first, second and third curve."""


def lip_rows(pairs: tuple[tuple[int, int], ...]) -> tuple[list[int], list[int]]:
    """Rows in the lips group of the upper and the lower point of every pair."""
    return [LIPS.index(upper) for upper, _ in pairs], [LIPS.index(lower) for _, lower in pairs]


def vertical_openings(lips: Tensor) -> Tensor:
    """Lip offsets (B, T, 40, 3) -> opening of the nine inner pairs beyond rest (B, T, 9), pixels."""
    upper, lower = lip_rows(INNER_LIP_PAIRS)
    return lips[:, :, lower, 1] - lips[:, :, upper, 1]


def central_opening(lips: Tensor) -> Tensor:
    """Lip offsets (B, T, 40, 3) -> mean opening of the three central pairs beyond rest (B, T), pixels."""
    upper, lower = lip_rows(CENTRAL_LIP_PAIRS)
    return (lips[:, :, lower, 1] - lips[:, :, upper, 1]).mean(-1)


def blinks_per_minute(eyes: Tensor, subject: Tensor) -> Tensor:
    """Eye offsets (B, T, 60, 3) of subjects (B, 478, 3) -> blinks a minute (B,)."""
    mesh = subject[:, None].repeat(1, eyes.shape[1], 1, 1)
    mesh[:, :, list(EYES)] += eyes
    counts = [len(find_blinks(opening)) for opening in eye_opening(mesh.double().cpu().numpy())]
    return torch.tensor(counts, dtype=torch.double, device=eyes.device) * (60 * FPS / eyes.shape[1])


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation along time of (B, T) curves -> (B,); 0 where either stands still."""
    moves = (a.std(1) > MIN_LIP_STD_PX) & (b.std(1) > MIN_LIP_STD_PX)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    value = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-9)
    return torch.where(moves, value, torch.zeros_like(value))


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

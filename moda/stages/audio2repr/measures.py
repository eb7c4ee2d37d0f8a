"""Validation figures of stage 1: lip openings, their correlation, blinks.

Dimension letters: B batch, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from moda.blinks import find_blinks
from moda.landmarks import CENTRAL_LIP_PAIRS, EYES, INNER_LIP_PAIRS, eye_opening, lip_rows
from moda.representation import FPS

MIN_LIP_STD_PX = 1e-3
"""A lip opening whose standard deviation is below this many pixels does not move."""


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

"""Temporal positional embedding of the renderer (TPE; paper, section 3.3; docs/method.md, section 5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

OCTAVES = 6
TEMPORAL_CHANNELS = 1 + 2 * OCTAVES
FRAMES_A_TIME_UNIT = 1000.0
"""t' = t / 1000."""
WRAP_FRAMES = 2 * math.pi * FRAMES_A_TIME_UNIT
"""Period of all sines, frames: t' may be taken modulo this without a jump in them."""


def temporal_embedding(frame: Tensor, *, wrap: bool) -> Tensor:
    """Frame indices (B,) -> (B, 13): t', then sin(2^k t') and cos(2^k t') for k = 0..5.

    wrap: t' modulo 2 pi, so that it stays in the range seen in training in a video of any length.
    """
    time = frame.to(torch.float32)
    if wrap:
        time = torch.remainder(time, WRAP_FRAMES)
    time = (time / FRAMES_A_TIME_UNIT)[:, None]
    angles = time * (2.0 ** torch.arange(OCTAVES, device=frame.device, dtype=torch.float32))
    return torch.cat([time, angles.sin(), angles.cos()], dim=1)


def as_planes(channels: Tensor, height: int, width: int) -> Tensor:
    """(B, C) -> (B, C, H, W), the same value everywhere."""
    return channels[:, :, None, None].expand(-1, -1, height, width)

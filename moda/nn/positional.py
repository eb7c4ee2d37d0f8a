"""Positional encodings along time.

Dimension letters: T frames, d model width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal(frames: int, width: int, *, period: int | None = None, device: torch.device | None = None) -> Tensor:
    """Sinusoidal encoding of time, (T, d): add it to (B, T, d), never to (T, B, d).

    PE(t, 2k) = sin(t / 10000^(2k/d)), PE(t, 2k+1) = cos(same). With `period` q, t is t mod q:
    the periodic encoding (PPE) of docs/method.md, section 2, point 5, which does not grow with the
    length and so serves windows longer than those of training.
    """
    if width % 2:
        raise ValueError(f"width must be even, got {width}")
    time = torch.arange(frames, device=device, dtype=torch.float32)
    if period is not None:
        time = time % period
    rates = torch.exp(torch.arange(0, width, 2, device=device, dtype=torch.float32) * (-math.log(10_000.0) / width))
    angles = time[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).reshape(frames, width)


def fourier(values: Tensor, width: int, scale: float = 1000.0) -> Tensor:
    """Embed scalars of about 0..1: (B,) -> (B, width), cosines then sines.

    Used for the flow's time; `scale` stretches 0..1 to the range of positions the rates suit.
    """
    half = width // 2
    rates = torch.exp(torch.arange(half, device=values.device, dtype=torch.float32) * (-math.log(10_000.0) / half))
    angles = scale * values.float()[:, None] * rates
    return torch.cat((angles.cos(), angles.sin()), dim=-1)

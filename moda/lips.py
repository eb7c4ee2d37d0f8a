"""What is done to predicted lips before they are filtered: contrast, and a mouth that closes in silence."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

from moda.representation import samples_at
from moda.smoothing import gaussian

_BLOCK = 1500
"""Frames of sound squared at once: a minute."""


def with_contrast(lips: np.ndarray, contrast: float, mean: np.ndarray | None = None) -> np.ndarray:
    """Lips (T, 40, 3) with their deviation from the clip's mean enlarged; L1 training makes it too small.

    mean: (1, 40, 3), where `lips` are a part of the clip; see `clip_mean`.
    """
    mean = clip_mean(lips) if mean is None else mean
    return mean + contrast * (lips - mean)


def clip_mean(lips: np.ndarray) -> np.ndarray:
    """(1, 40, 3) mean over time of lips (T, 40, 3), of their dtype, summed in float64: T may be an hour."""
    return lips.mean(axis=0, keepdims=True, dtype=np.float64).astype(lips.dtype)


def mouth_gate(samples: np.ndarray, frames: int, silence_db: float) -> np.ndarray:
    """How far lips may move: (T,) float32, 0 in silence, 1 in sound, eased over a few frames.

    A frame is silent if it and its neighbours (0.16 s) stay under `silence_db`; the speech encoder
    normalises its input, so what is left of silence would be heard as loud noise.
    """
    level = 10 * np.log10(np.maximum(_power(samples, frames), 1e-20))
    heard = maximum_filter1d((level > silence_db).astype(np.float32), 9, mode="nearest")
    return np.asarray(gaussian(heard, 2.0), np.float32)


def _power(samples: np.ndarray, frames: int) -> np.ndarray:
    """(T,) mean square of each frame's samples; the last frame has what is left. By blocks, for long sounds."""
    power = np.zeros(frames)
    for first in range(0, frames, _BLOCK):
        last = min(first + _BLOCK, frames)
        begin = samples_at(first)
        piece = samples[begin : samples_at(last) if last < frames else None].astype(np.float64)
        starts = np.array([samples_at(frame) - begin for frame in range(first, last)])
        power[first:last] = np.add.reduceat(piece**2, starts) / np.diff([*starts, len(piece)])
    return power

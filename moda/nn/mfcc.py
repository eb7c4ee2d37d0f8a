"""Cepstra as the published SyncNet reads them: the defaults of python_speech_features, implemented anew.

Davis and Mermelstein 1980, in the form of that package: no window function but the rectangle, filters
with corners on whole bins of the spectrum, liftering, and the frame's log energy as coefficient 0.

Dimension letters: N samples, n cepstral frames (100 a second), K bins, M filters, C coefficients.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.fft import dct

from moda.representation import SAMPLE_RATE

FRAME_SAMPLES, HOP_SAMPLES, FFT_SAMPLES = 400, 160, 512
"""Samples: frames of 25 ms, one every 10 ms, and the transform's length."""
COEFFICIENTS, FILTERS, LIFTER, PREEMPHASIS = 13, 26, 22, 0.97
FULL_SCALE = 32768.0
"""The package is fed 16-bit integers; energies, and so coefficient 0, depend on it."""


def mfcc(wave: np.ndarray) -> np.ndarray:
    """(N,) audio at 16 kHz in -1..1 -> (n, 13) float64, n = 1 + ceil((N - 400) / 160), at least 1; N >= 1."""
    if wave.ndim != 1 or len(wave) == 0:
        raise ValueError(f"wave has shape {wave.shape}, wanted (N,) with N >= 1")
    pcm = np.clip(np.rint(wave.astype(np.float64) * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    sharp = pcm.copy()
    sharp[1:] -= PREEMPHASIS * pcm[:-1]
    count = 1 + max(0, -(-(len(sharp) - FRAME_SAMPLES) // HOP_SAMPLES))
    padded = np.zeros((count - 1) * HOP_SAMPLES + FRAME_SAMPLES)
    padded[: len(sharp)] = sharp
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::HOP_SAMPLES]
    power = np.abs(np.fft.rfft(frames, FFT_SAMPLES)) ** 2 / FFT_SAMPLES
    cepstra = dct(np.log(_positive(power @ _filters().T)), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    order = np.arange(COEFFICIENTS)
    cepstra = cepstra * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER))
    cepstra[:, 0] = np.log(_positive(power.sum(axis=1)))
    return cepstra


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values == 0, np.finfo(np.float64).eps, values)


@cache
def _filters() -> np.ndarray:
    """(M, K) triangles over 0 .. 8 kHz, evenly spaced in mel, their corners rounded down to bins."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    corners = np.floor((FFT_SAMPLES + 1) * hertz / SAMPLE_RATE)
    bins = np.arange(FFT_SAMPLES // 2 + 1)
    low, middle, high = (corners[i : i + FILTERS, None] for i in range(3))
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.where(bins < middle, rising, falling) * ((bins >= low) & (bins < high))

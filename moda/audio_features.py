"""Level of speech in each frame of video, robust to rumble, hum and steady noise."""

from __future__ import annotations

from bisect import bisect_left, insort
from functools import lru_cache

import numpy as np
from scipy.ndimage import median_filter

from moda.representation import SAMPLE_RATE, samples_at

SPEECH_FROM_HZ, RUMBLE_TO_HZ = 240.0, 65.0
"""Power counts in full from the first frequency on; a millionth of it is left below the second."""
STEADY_DB = 6.0
"""Largest change of the level of a steady noise."""
SPEECH_PERCENTILE, MEMORY_FRAMES, MEDIAN_REACH_FRAMES = 95.0, 1500, 4
"""Percentile of the levels of the last frames that is taken as that of speech, and frames of the median either way."""
_BLOCK_FRAMES = 1500
"""Frames whose samples are squared at once: a minute."""


def frame_power(wave: np.ndarray, frames: int) -> np.ndarray:
    """(T,) mean square of each frame's samples in the band of speech (`speech_band`); (N,) at `SAMPLE_RATE` Hz.

    The last frame has what is left beyond it; frames after the audio's end have 0.
    """
    band = speech_band(wave)
    power = np.zeros(frames)
    for first in range(0, frames, _BLOCK_FRAMES):
        last = min(first + _BLOCK_FRAMES, frames)
        begin = samples_at(first)
        piece = band[begin : samples_at(last) if last < frames else None].astype(np.float64)
        starts = np.array([samples_at(frame) - begin for frame in range(first, last)])
        starts = starts[starts < len(piece)]
        if len(starts):
            power[first : first + len(starts)] = np.add.reduceat(piece**2, starts) / np.diff([*starts, len(piece)])
    return power


def steady(level: np.ndarray, frames: int) -> np.ndarray:
    """(T,) bool: frames of stretches of that many whose level, (T,) dB, changes by at most `STEADY_DB`: hum, hiss."""
    found = np.zeros(len(level), bool)
    if len(level) >= frames:
        windows = np.lib.stride_tricks.sliding_window_view(level, frames)
        for first in np.flatnonzero(np.ptp(windows, axis=1) <= STEADY_DB):
            found[first : first + frames] = True
    return found


def running_speech_level(level: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(T,) dB of the speech at each frame, from no later frame: of the last minute's frames that count ((T,) bool), the
    `SPEECH_PERCENTILE` of the median level around them, so that a click does not count; -inf before the first.
    """
    around = median_filter(level, 2 * MEDIAN_REACH_FRAMES + 1, mode="constant", cval=-200.0)
    found, oldest = np.full(len(level), -np.inf), 0
    heard: list[float] = []
    entered = np.flatnonzero(counts)
    at = 0
    for frame in range(len(level)):
        while at < len(entered) and entered[at] + MEDIAN_REACH_FRAMES <= frame:
            insort(heard, float(around[entered[at]]))
            at += 1
        while oldest < at and entered[oldest] < frame - MEMORY_FRAMES:
            del heard[bisect_left(heard, float(around[entered[oldest]]))]
            oldest += 1
        if heard:
            found[frame] = heard[min(int(SPEECH_PERCENTILE / 100 * len(heard)), len(heard) - 1)]
    return found


def speech_band(wave: np.ndarray) -> np.ndarray:
    """(N,) samples without what lies below speech: a constant, rumble, hum of 50 or 60 Hz. Nothing is delayed."""
    taps = _high_pass()
    reach, block = len(taps) // 2, 1 << 15
    step = block - len(taps) + 1
    response = np.fft.rfft(taps, block)
    padded = np.concatenate([np.zeros(reach, np.float32), wave, np.zeros(reach + step, np.float32)])
    filtered = np.empty(len(wave) + step, np.float32)
    for at in range(0, len(wave), step):
        piece = np.fft.irfft(np.fft.rfft(padded[at : at + block], block) * response, block)
        filtered[at : at + step] = piece[len(taps) - 1 :][: len(filtered) - at]
    return filtered[: len(wave)]


@lru_cache(maxsize=1)
def _high_pass() -> np.ndarray:
    """Taps (an odd number) of a linear-phase filter, 60 dB down below `RUMBLE_TO_HZ`."""
    width = 2 * np.pi * (SPEECH_FROM_HZ - RUMBLE_TO_HZ) / SAMPLE_RATE
    reach = int(np.ceil((60.0 - 8.0) / (2.285 * width) / 2))
    cutoff = (SPEECH_FROM_HZ + RUMBLE_TO_HZ) / SAMPLE_RATE  # of half the rate
    low = cutoff * np.sinc(cutoff * np.arange(-reach, reach + 1)) * np.kaiser(2 * reach + 1, 5.65)
    taps = -low / low.sum()
    taps[reach] += 1.0
    return taps

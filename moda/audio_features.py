"""Level of speech in each frame of video, robust to rumble, hum and steady noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from moda.representation import SAMPLE_RATE, samples_at

SPEECH_FROM_HZ, RUMBLE_TO_HZ = 240.0, 65.0
"""Power counts in full from the first frequency on; a millionth of it is left below the second."""
STEADY_DB, NEAR_FLOOR_DB, NOISE_BELOW_SPEECH_DB = 6.0, 6.0, 15.0
"""Noise keeps its level within this, lies so near the quietest of its surroundings, and so far below speech."""
_SURROUNDINGS_FRAMES = 500
"""Frames of the running minimum of the level."""
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


def steady_noise(level: np.ndarray, speech: float, shortest: int) -> np.ndarray:
    """(T,) bool: frames of stretches that hold nothing but a steady background.

    level: (T,) dB of each frame. speech: dB of speech. shortest: frames of a stretch, at the least.
    """
    if len(level) < shortest:
        return np.zeros(len(level), bool)
    windows = np.lib.stride_tricks.sliding_window_view(level, shortest)
    loudest, quietest = windows.max(axis=1), windows.min(axis=1)
    steady = (loudest - quietest <= STEADY_DB) & (loudest <= speech - NOISE_BELOW_SPEECH_DB)
    floor = minimum_filter1d(loudest, _SURROUNDINGS_FRAMES, mode="nearest")
    found = np.concatenate([steady & (loudest <= floor + NEAR_FLOOR_DB), np.zeros(shortest - 1, bool)])
    # a frame is noise if one of the windows that hold it is
    return np.asarray(maximum_filter1d(found, shortest, mode="constant", origin=(shortest - 1) // 2))


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

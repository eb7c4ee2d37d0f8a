"""Augmentation of training audio that leaves the lips' motion valid: gain and noise, never speed."""

from __future__ import annotations

import numpy as np

from moda.data.settings import AudioAugmentation

MIN_AUDIBLE_RMS = 1e-3
"""RMS below which audio counts as silent: noise is then added relative to this, -60 dB of full scale."""


def augment_audio(wave: np.ndarray, config: AudioAugmentation, random: np.random.Generator) -> np.ndarray:
    """Random gain, and at times white or low-pass noise at a random SNR: (N,) -> (N,) float32 in [-1, 1]."""
    gain = 10 ** (random.uniform(-config.gain_db, config.gain_db) / 20)
    if random.random() < config.noise:
        noise = random.standard_normal(len(wave), dtype=np.float32)
        if random.random() < 0.5:  # smoothed over a few samples: rumble and air rather than hiss
            kernel = np.hanning(int(random.integers(5, 40))).astype(np.float32)
            noise = np.convolve(noise, kernel, mode="same")
        level = max(float(np.sqrt(np.mean(np.square(wave)))), MIN_AUDIBLE_RMS)
        level *= 10 ** (-random.uniform(*config.snr_db) / 20)
        wave = wave + level * noise / max(float(noise.std()), 1e-9)
    return np.clip(gain * wave, -1, 1).astype(np.float32)

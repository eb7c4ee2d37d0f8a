"""Changes to training sound that a mouth does not see: gain and noise, never speed."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from moda.config import Config

QUIETEST = 1e-3
"""RMS below which a sound counts as silent: noise is then laid relative to this (-60 dB of full scale)."""


class SoundAugmentation(Config):
    """How far the sound of a training window may change."""

    gain_db: float = Field(9.0, ge=0, description="Gain drawn from +- this, dB.")
    noise: float = Field(0.5, ge=0, le=1, description="Share of windows that get additive noise.")
    snr_db: tuple[float, float] = Field((10.0, 40.0), description="Signal-to-noise ratio drawn from this range, dB.")


def augment_sound(wave: np.ndarray, config: SoundAugmentation, random: np.random.Generator) -> np.ndarray:
    """Random gain, and at times white or low-pass noise at a random SNR: (N,) -> (N,) float32 in [-1, 1]."""
    gain = 10 ** (random.uniform(-config.gain_db, config.gain_db) / 20)
    if random.random() < config.noise:
        noise = random.standard_normal(len(wave), dtype=np.float32)
        if random.random() < 0.5:  # smoothed over a few samples: rumble and air rather than hiss
            kernel = np.hanning(int(random.integers(5, 40))).astype(np.float32)
            noise = np.convolve(noise, kernel, mode="same")
        level = max(float(np.sqrt(np.mean(np.square(wave)))), QUIETEST)
        level *= 10 ** (-random.uniform(*config.snr_db) / 20)
        wave = wave + level * noise / max(float(noise.std()), 1e-9)
    return np.clip(gain * wave, -1, 1).astype(np.float32)

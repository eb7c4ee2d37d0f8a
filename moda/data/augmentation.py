"""Changes to training audio that a mouth does not see: gain, noise and the band of a telephone, never speed."""

from __future__ import annotations

import numpy as np

from moda.data.settings import AudioAugmentation
from moda.representation import SAMPLE_RATE

MIN_AUDIBLE_RMS = 1e-3
"""RMS below which an audio recording counts as silent: noise is then laid relative to this (-60 dB of full scale)."""

LOW_CUT_HZ, HIGH_CUT_HZ = (80.0, 350.0), (3000.0, 4000.0)
"""Hz between which the edges of a telephone's band are drawn."""


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
    if config.telephone and random.random() < config.telephone:
        wave = over_telephone(wave, random.uniform(*LOW_CUT_HZ), random.uniform(*HIGH_CUT_HZ))
    return np.clip(gain * wave, -1, 1).astype(np.float32)


def over_telephone(wave: np.ndarray, low: float = 300.0, high: float = 3400.0) -> np.ndarray:
    """A waveform (N,) at 16 kHz, band-limited to `low` to `high` Hz as on a telephone, float32."""
    spectrum = np.fft.rfft(wave)
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    spectrum[(hertz < low) | (hertz > high)] = 0
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32)

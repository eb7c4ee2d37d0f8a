"""Post-processing of predicted lips before they are filtered: contrast, and a mouth that closes in silence."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from moda.audio_features import frame_power, steady_noise
from moda.config import Config
from moda.representation import FPS
from moda.smoothing import gaussian

SPEECH_PERCENTILE = 95.0
"""Percentile of an audio recording's levels that is taken as the level of its speech."""
_CLOSING, _EASE = 2, 1.0
"""Frames from the end of the audio until lips begin to close, and the sigma of their easing."""


class PauseConfig(Config):
    """When the mouth closes, whatever the network predicts.

    Trained networks leave lips parted in a pause, as people do; and the encoder normalises the level of its
    input, so that the noise of a silence would be amplified.
    """

    level_db: float = -70.0
    """Quieter than this (dB of full scale) is silence."""
    below_speech_db: float = Field(36.0, gt=0)
    """So is what lies so far below the audio's own speech (95th percentile of 40 ms' levels): noise, music, breath."""
    seconds: float = Field(0.3, ge=0.04)
    """Shorter silences belong to speech: the closure of a plosive is one."""


def with_contrast(lips: np.ndarray, contrast: float, mean: np.ndarray | None = None) -> np.ndarray:
    """Lips (T, 40, 3) with their deviation from the clip's mean enlarged; L1 training makes it too small.

    mean: (1, 40, 3), where `lips` are a part of the clip; see `clip_mean`.
    """
    mean = clip_mean(lips) if mean is None else mean
    return mean + contrast * (lips - mean)


def clip_mean(lips: np.ndarray) -> np.ndarray:
    """(1, 40, 3) mean over time of lips (T, 40, 3), of their dtype, summed in float64: T may be an hour."""
    return lips.mean(axis=0, keepdims=True, dtype=np.float64).astype(lips.dtype)


def mouth_gate(samples: np.ndarray, frames: int, pauses: PauseConfig | None) -> np.ndarray:
    """How far lips may move: (T,) float32, 0 in a pause, 1 elsewhere, eased over a few frames; 1 without `pauses`.

    A pause is a stretch of `pauses.seconds` and more under the level that `pauses` sets, or of nothing but a steady
    noise (`moda.audio_features.steady_noise`); hum and rumble below speech do not count at all. Lips have come to rest
    0.2 s after the audio ended and leave it with the audio.
    """
    if pauses is None:
        return np.ones(frames, np.float32)
    level = 10 * np.log10(np.maximum(frame_power(samples, frames), 1e-20))
    speech = float(np.percentile(level, SPEECH_PERCENTILE))
    silent = level <= max(pauses.level_db, speech - pauses.below_speech_db)
    silent |= steady_noise(level, speech, max(1, math.ceil(pauses.seconds * FPS)))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]])))
    audible = np.ones(frames, np.float32)
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        if after - first >= min(pauses.seconds * FPS, frames):
            audible[first + (_CLOSING if first else 0) : after] = 0.0
    return np.asarray(gaussian(audible, _EASE), np.float32)

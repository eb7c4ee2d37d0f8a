"""Where somebody speaks: by a rule on loudness, or by silero-vad where it is installed and asked for.

Dimension letters: T frames of video (25 a second), N audio samples (16 kHz).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, get_args

import numpy as np

from moda.audio_features import frame_power
from moda.errors import ConfigError
from moda.metrics.registry import MetricSettings, SpeechDetector
from moda.representation import FPS, SAMPLE_RATE
from moda.stretches import stretches

LOUD_PERCENTILE = 95.0
"""Percentile of a clip's levels that counts as the level of its speech."""
SILENCE_BELOW_SPEECH_DB, MIN_AUDIBLE_DBFS = -30.0, -60.0
"""A frame is silent this far below the speech, or below this level of full scale."""
MIN_SILENCE_SECONDS = 0.3
"""Shortest silent stretch."""


def levels(wave: np.ndarray, frames: int) -> np.ndarray:
    """(N,) audio at 16 kHz -> (frames,) level of speech in each frame of video, dB of full scale, at least -120."""
    power = frame_power(np.asarray(wave, np.float32), frames)
    return 10 * np.log10(np.maximum(power, 1e-12))


def speech_detector(settings: MetricSettings) -> str:
    """Which way is used, for the header."""
    return "silero-vad" if settings.speech == "silero" else "the loudness rule of this project"


def speech_frames(wave: np.ndarray, frames: int, detector: SpeechDetector = "loudness") -> np.ndarray:
    """(N,) audio -> (T,) bool, T as many of `frames` as there is audio for: somebody speaks.

    Loudness: less than 30 dB below the clip's speech (95th percentile of the level of 40 ms) and above -60 dB of full
    scale; what is silent for less than 0.3 s is a pause within speech. Silero: stretches as the package gives them,
    from the frame in which one begins to that in which it ends. Raises `ConfigError` if silero-vad is not installed.
    """
    if detector not in get_args(SpeechDetector):
        raise ConfigError(f"no detector of speech '{detector}', wanted one of {', '.join(get_args(SpeechDetector))}")
    known = min(frames, len(wave) * int(FPS) // SAMPLE_RATE)
    if not known:
        return np.zeros(0, bool)
    if detector == "silero":
        return _silero_frames(np.asarray(wave, np.float32), known)
    return ~silent_frames(wave, known)


def silent_frames(wave: np.ndarray, frames: int) -> np.ndarray:
    """(frames,) bool: in a silent stretch of `MIN_SILENCE_SECONDS` or more, by the rule on loudness."""
    level = levels(wave, frames)
    quiet = level <= max(float(np.percentile(level, LOUD_PERCENTILE)) + SILENCE_BELOW_SPEECH_DB, MIN_AUDIBLE_DBFS)
    return long_stretches(quiet, MIN_SILENCE_SECONDS)


def long_stretches(found: np.ndarray, seconds: float) -> np.ndarray:
    """(T,) bool: the stretches of True that last at least so long."""
    kept = np.zeros(len(found), bool)
    for first, after in stretches(found):
        if after - first >= seconds * FPS:
            kept[first:after] = True
    return kept


def _silero_frames(wave: np.ndarray, frames: int) -> np.ndarray:
    import torch

    timestamps, model = _silero()
    with torch.inference_mode():
        found = timestamps(torch.from_numpy(wave), model, sampling_rate=SAMPLE_RATE)
    speech = np.zeros(frames, bool)
    for part in found:
        first, last = (int(part[end] * FPS / SAMPLE_RATE) for end in ("start", "end"))
        speech[first : last + 1] = True
    return speech


@lru_cache(maxsize=1)
def _silero() -> tuple[Any, Any]:
    try:
        from silero_vad import get_speech_timestamps, load_silero_vad
    except ImportError as error:
        raise ConfigError(
            "silero-vad is not installed: pip install 'moda[silero]', or take the loudness rule (speech: loudness)"
        ) from error
    return get_speech_timestamps, load_silero_vad()

"""Audio in and out: any file becomes float32 mono at 16 kHz."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

import numpy as np
import soundfile

from moda.audio_features import frame_power
from moda.errors import MediaError, OutputError
from moda.files import replacing
from moda.media.track import read_track
from moda.representation import FPS, SAMPLE_RATE

MIN_SECONDS = 0.1
"""Shorter recordings are refused: they hold no speech, and less than three frames of video."""
FILTER_CROSSINGS = 32
"""Zero crossings on each side of the resampling filter's centre."""
_CANCELLED, _CANCELLED_SHARE = 0.1, 0.2
"""Two channels cancel in a frame whose mean has less than this share of the louder one's power; they are not mixed if
such frames hold more than this share of the power."""

log = logging.getLogger(__name__)


def read_audio(path: Path | str, start: int = 0, count: int | None = None) -> np.ndarray:
    """Read the audio of an audio or video file, or `count` samples of it from `start` on (fewer at its end).

    Returns float32 (N,) in [-1, 1], mono, `SAMPLE_RATE` Hz: the mean of the channels, or the louder one of two that
    would cancel each other. Of several tracks the one marked as default is read, which is logged.
    Raises `MediaError` for a file that is missing, empty or not audio, for audio that is shorter than `MIN_SECONDS`
    or longer than `moda.media.track.MAX_SECONDS` as a whole and for samples that are not finite. Silence is fine.
    """
    path = Path(path)
    channels = read_track(path, start, count)
    if not np.isfinite(channels).all():
        bad = int((~np.isfinite(channels)).any(axis=0).sum())
        raise MediaError(f"{bad} samples are not finite (NaN or infinite) in {path}")
    if count is None and channels.shape[1] < MIN_SECONDS * SAMPLE_RATE:
        seconds = channels.shape[1] / SAMPLE_RATE
        raise MediaError(f"the audio lasts {seconds:.3f} s, wanted at least {MIN_SECONDS} s: {path}")
    wave = channels[0] if len(channels) == 1 else mixed(channels, path)
    peak = float(np.abs(wave).max(initial=0.0))
    if peak > 1.0:
        log.info("samples reach %.3g in %s: scaled down to 1", peak, path)
        wave = wave / peak
    return np.ascontiguousarray(wave, dtype=np.float32)


def mixed(channels: np.ndarray, source: Path | str) -> np.ndarray:
    """The mean (N,) of (2, N) samples at `SAMPLE_RATE`, or the louder channel if the two would cancel each other.

    source: name of the audio in the log.
    """
    mean = channels.mean(axis=0)
    frames = max(1, math.ceil(len(mean) * FPS / SAMPLE_RATE))
    left, right, middle = (frame_power(wave, frames) for wave in (*channels, mean))
    louder = np.maximum(left, right)
    if louder[middle < _CANCELLED * louder].sum() <= _CANCELLED_SHARE * louder.sum():
        return mean
    log.warning("the two channels of %s are of opposite sign and would cancel each other: took the louder one", source)
    return channels[0] if left.sum() >= right.sum() else channels[1]


def write_wav(path: Path | str, wave: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write float samples (N,) or (N, channels) as 16-bit WAV; values beyond [-1, 1] are clipped.

    Raises `OutputError` if the place cannot be written; never leaves half a file.
    """
    path = Path(path)
    with replacing(path) as temporary:
        try:
            samples = np.clip(wave, -1.0, 1.0)
            soundfile.write(os.fsencode(temporary), samples, sample_rate, subtype="PCM_16", format="WAV")
        except soundfile.LibsndfileError as error:
            raise OutputError(f"cannot write {path}: {error}") from error


def resample(wave: np.ndarray, source: int, target: int = SAMPLE_RATE) -> np.ndarray:
    """Change the sample rate of (N,) samples with a Kaiser-windowed sinc; any pair of rates."""
    if source == target or len(wave) == 0:
        return wave
    from scipy import signal  # here, as it takes a second to import and 16 kHz files do without

    common = math.gcd(source, target)
    up, down = target // common, source // common
    widest = max(up, down)
    taps = signal.firwin(2 * FILTER_CROSSINGS * widest + 1, 0.95 / widest, window=("kaiser", 9.0))
    return np.asarray(signal.resample_poly(wave, up, down, window=taps.astype(wave.dtype)), dtype=wave.dtype)

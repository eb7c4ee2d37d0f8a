"""Sound in and out: any file becomes float32 mono at 16 kHz."""

from __future__ import annotations

import logging
import math
import subprocess
from pathlib import Path

import numpy as np
import soundfile

from moda.errors import MediaError, OutputError
from moda.files import replacing
from moda.media.ffmpeg import QUIET, ffmpeg_program, input_arguments, last_line, require_file
from moda.representation import SAMPLE_RATE

MIN_SECONDS = 0.1
"""Shorter sounds are refused: they hold no speech, and less than three frames of video."""
_SOUNDFILE_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf"}
_SEEK_FROM, _SEEK_LEAD = 60, 5
"""Seconds from which on a start is sought, and how much before it."""
_HALF_WIDTH = 32
"""Zero crossings on each side of the resampling filter's centre."""

log = logging.getLogger(__name__)


def read_audio(path: Path | str, start: int = 0, count: int | None = None) -> np.ndarray:
    """Read the sound of an audio or video file, or `count` samples of it from `start` on (fewer at its end).

    Returns float32 (N,) in [-1, 1], mono (mean of the channels), `SAMPLE_RATE` Hz.
    WAV, FLAC, OGG, Opus and MP3 are read by libsndfile, everything else by ffmpeg.
    Raises `MediaError` for a file that is missing, empty or not sound, for sound that is shorter than
    `MIN_SECONDS` as a whole and for samples that are not finite. Silence is fine.
    """
    path = Path(path)
    require_file(path, "audio file")
    wave = _read_soundfile(path) if path.suffix.lower() in _SOUNDFILE_SUFFIXES else None
    end = None if count is None else start + count
    wave = _read_ffmpeg(path, start, count) if wave is None else wave[start:end]
    if not np.isfinite(wave).all():
        raise MediaError(f"{int((~np.isfinite(wave)).sum())} samples are not finite (NaN or infinite) in {path}")
    if count is None and len(wave) < MIN_SECONDS * SAMPLE_RATE:
        seconds = len(wave) / SAMPLE_RATE
        raise MediaError(f"the sound lasts {seconds:.3f} s, wanted at least {MIN_SECONDS} s: {path}")
    peak = float(np.abs(wave).max(initial=0.0))
    if peak > 1.0:
        log.info("samples reach %.3g in %s: scaled down to 1", peak, path)
        wave = wave / peak
    return np.ascontiguousarray(wave, dtype=np.float32)


def write_wav(path: Path | str, wave: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write float samples (N,) or (N, channels) as 16-bit WAV; values beyond [-1, 1] are clipped.

    Raises `OutputError` if the place cannot be written; never leaves half a file.
    """
    path = Path(path)
    with replacing(path) as temporary:
        try:
            soundfile.write(temporary, np.clip(wave, -1.0, 1.0), sample_rate, subtype="PCM_16", format="WAV")
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
    taps = signal.firwin(2 * _HALF_WIDTH * widest + 1, 0.95 / widest, window=("kaiser", 9.0))
    return np.asarray(signal.resample_poly(wave, up, down, window=taps.astype(wave.dtype)), dtype=wave.dtype)


def _read_soundfile(path: Path) -> np.ndarray | None:
    """Mono samples at `SAMPLE_RATE`, or None if libsndfile cannot read the file."""
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        log.debug("libsndfile cannot read %s (%s): trying ffmpeg", path, error)
        return None
    mono = samples.mean(axis=1)
    return resample(mono, rate) if np.isfinite(mono).all() else mono


def _read_ffmpeg(path: Path, start: int = 0, count: int | None = None) -> np.ndarray:
    """Mono samples at `SAMPLE_RATE` of the first sound stream, time 0 at the file's start.

    A start beyond `_SEEK_FROM` is sought with some sound before it, which is thrown away.
    """
    skipped = (start // SAMPLE_RATE - _SEEK_LEAD) * SAMPLE_RATE if start > _SEEK_FROM * SAMPLE_RATE else 0
    seek = ["-ss", str(skipped // SAMPLE_RATE)] if skipped else []
    end = "" if count is None else f",atrim=end_sample={start + count - skipped}"
    command = [
        *(ffmpeg_program(), *QUIET, *seek, *input_arguments(path), "-map", "0:a:0", "-vn", "-ac", "1"),
        *("-af", f"aresample={SAMPLE_RATE}:async=1:first_pts=0{end}", "-f", "f32le", "pipe:1"),
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0 and not done.stdout:
        reason = last_line(done.stderr, done.returncode)
        if b"matches no streams" in done.stderr:
            raise MediaError(f"no sound in {path}; wanted an audio file, or a video with sound")
        raise MediaError(f"not a sound that can be read: {path} ({reason})")
    return np.frombuffer(done.stdout, dtype="<f4")[start - skipped :]

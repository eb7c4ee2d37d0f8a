"""The audio of the clip, 16 kHz mono, with a margin before and after it."""

from __future__ import annotations

import numpy as np

from data_prepare.job import Job, Rejected, Step
from moda.audio_features import speech_band
from moda.media.audio import read_audio
from moda.representation import SAMPLE_RATE, samples_at

MARGIN_SAMPLES = SAMPLE_RATE
"""Samples before and after the clip, for the correction of an offset; silence where the source has none."""


def loudness(wave: np.ndarray) -> float:
    """Root mean square of (N,) samples, dB below full scale; -120 at the least."""
    power = float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
    return 10.0 * float(np.log10(max(power, 1e-12)))


def run(job: Job) -> None:
    """Read by time; a source whose audio is silence counts as one without."""
    job.padded_audio = None
    if job.info.has_audio:
        first, count = samples_at(job.span.start) - MARGIN_SAMPLES, samples_at(job.frames) + 2 * MARGIN_SAMPLES
        wave = read_audio(job.source.path, start=max(first, 0), count=count + min(first, 0))
        padded_audio = np.zeros(count, np.float32)
        padded_audio[max(-first, 0) : max(-first, 0) + len(wave)] = wave
        if loudness(speech_band(padded_audio[MARGIN_SAMPLES:-MARGIN_SAMPLES])) > job.options.limits.min_loudness:
            job.padded_audio = padded_audio
    if job.padded_audio is None and not job.options.allow_silent:
        limit = job.options.limits.min_loudness
        raise Rejected(f"the audio is silence, below {limit:g} dBFS (--allow-silent keeps such videos)")


STEP = Step(
    "audio",
    needs=("info", "span"),
    makes=("padded_audio",),
    version=3,
    run=run,
    settings=lambda options: {"allow_silent": options.allow_silent, "min_loudness": options.limits.min_loudness},
)

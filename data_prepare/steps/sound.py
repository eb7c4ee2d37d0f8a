"""The sound of the kept frames, 16 kHz mono."""

from __future__ import annotations

import numpy as np

from data_prepare.job import Job, Rejected, Step
from moda.media.audio import read_audio, write_wav
from moda.representation import samples_at

SILENCE_DBFS = -70.0
"""Sound below this is no sound."""


def loudness(wave: np.ndarray) -> float:
    """Root mean square of (N,) samples, dB below full scale; -120 at the least."""
    power = float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
    return 10.0 * float(np.log10(max(power, 1e-12)))


def run(job: Job) -> None:
    """Read, cut by time to the kept frames (padded with silence at the end), write audio.wav."""
    job.wave = None
    if job.info.has_audio:
        start, stop = samples_at(job.span.start), samples_at(job.span.stop)
        wave = read_audio(job.source)[start:stop]
        wave = np.pad(wave, (0, stop - start - len(wave)))
        if loudness(wave) > SILENCE_DBFS:
            job.wave = wave
    if job.wave is None:
        if not job.options.allow_silent:
            raise Rejected(f"the sound is silence, below {SILENCE_DBFS:g} dBFS (--allow-silent keeps such videos)")
        return
    write_wav(job.folder / "audio.wav", job.wave)


STEP = Step("sound", needs=("info", "span"), makes=("wave",), version=1, run=run)

"""By how much the picture comes late: estimated, and the audio moved by it."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path

import numpy as np

from data_prepare.job import Job, Offset, Rejected, Step
from data_prepare.options import Options
from data_prepare.steps.audio import MARGIN_SAMPLES
from moda.av_offset import SHIPPED, LipSync
from moda.geometry import to_canonical
from moda.locations import locate
from moda.representation import FPS, SAMPLE_RATE, samples_at


@lru_cache(maxsize=1)
def _network(path: Path | None) -> LipSync:
    return LipSync.load(path)


@lru_cache(maxsize=4)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "missing"


def moved(padded_audio: np.ndarray, frames: int, offset: float) -> np.ndarray:
    """Audio (N,) of `frames` frames `offset` frames earlier from `padded_audio` (`MARGIN_SAMPLES` on both sides).

    A picture that comes late by `offset` frames then meets the audio that made it.
    """
    first = MARGIN_SAMPLES - round(offset * SAMPLE_RATE / FPS)
    return np.ascontiguousarray(padded_audio[first : first + samples_at(frames)])


def run(job: Job) -> None:
    """Estimate on the audio as it came; correct what is settled, reject what is beyond the limit."""
    options = job.options
    job.offset, job.wave = None, None
    if job.padded_audio is None:
        return
    wave = moved(job.padded_audio, job.frames, 0.0)
    estimate = _network(options.sync).estimate(
        to_canonical(job.landmarks.astype(np.float64), job.pose), job.tracked, wave
    )
    frames = round(estimate.frames, 2) if math.isfinite(estimate.frames) else 0.0
    if estimate.settled and abs(frames) > options.limits.max_offset:
        raise Rejected(
            f"the picture comes {frames:+.1f} frames late against the audio, more than the limit of "
            f"{options.limits.max_offset:g}"
        )
    if options.settled_only and not estimate.settled:
        raise Rejected("its audio-video offset cannot be settled (settled_only)")
    corrected = estimate.settled and options.correct_offset and frames != 0.0
    job.offset = Offset(frames, round(float(estimate.confidence), 3), bool(estimate.settled), corrected)
    job.wave = moved(job.padded_audio, job.frames, frames) if corrected else wave


def _settings(options: Options) -> object:
    return {
        "correct": options.correct_offset,
        "settled_only": options.settled_only,
        "max_offset": options.limits.max_offset,
        "network": _digest(locate(options.sync or SHIPPED)),
    }


STEP = Step(
    "offset",
    needs=("padded_audio", "landmarks", "tracked", "pose", "span"),
    makes=("offset", "wave"),
    version=1,
    run=run,
    settings=_settings,
)

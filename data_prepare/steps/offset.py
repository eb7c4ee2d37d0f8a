"""By how much the picture comes late: estimated, and the sound moved by it."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path

import numpy as np

from data_prepare.job import Job, Offset, Rejected, Step
from data_prepare.options import Options
from data_prepare.steps.sound import MARGIN
from moda.geometry import to_canonical
from moda.locations import locate
from moda.representation import FPS, SAMPLE_RATE, samples_at
from moda.sync import SHIPPED, LipSync


@lru_cache(maxsize=1)
def _network(path: Path | None) -> LipSync:
    return LipSync.load(path)


@lru_cache(maxsize=4)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "missing"


def moved(heard: np.ndarray, frames: int, offset: float) -> np.ndarray:
    """Sound (N,) of `frames` frames from `heard` (with `MARGIN` on both sides), taken `offset` frames earlier.

    A picture that comes late by `offset` frames then meets the sound that made it.
    """
    first = MARGIN - round(offset * SAMPLE_RATE / FPS)
    return np.ascontiguousarray(heard[first : first + samples_at(frames)])


def run(job: Job) -> None:
    """Estimate on the sound as it came; correct what is settled, reject what is beyond the limit."""
    options = job.options
    job.offset, job.wave = None, None
    if job.heard is None:
        return
    wave = moved(job.heard, job.frames, 0.0)
    estimate = _network(options.sync).estimate(
        to_canonical(job.landmarks.astype(np.float64), job.pose), job.tracked, wave
    )
    frames = round(estimate.frames, 2) if math.isfinite(estimate.frames) else 0.0
    if estimate.settled and abs(frames) > options.limits.max_offset:
        raise Rejected(
            f"the picture comes {frames:+.1f} frames late against the sound, more than the limit of "
            f"{options.limits.max_offset:g}"
        )
    if options.settled_only and not estimate.settled:
        raise Rejected("its audio-video offset cannot be settled (settled_only)")
    corrected = estimate.settled and options.correct_offset and frames != 0.0
    job.offset = Offset(frames, round(float(estimate.confidence), 3), bool(estimate.settled), corrected)
    job.wave = moved(job.heard, job.frames, frames) if corrected else wave


def _settings(options: Options) -> object:
    return {
        "correct": options.correct_offset,
        "settled_only": options.settled_only,
        "max_offset": options.limits.max_offset,
        "network": _digest(locate(options.sync or SHIPPED)),
    }


STEP = Step(
    "offset",
    needs=("heard", "landmarks", "tracked", "pose", "span"),
    makes=("offset", "wave"),
    version=1,
    run=run,
    settings=_settings,
)

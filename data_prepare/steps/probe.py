"""Is this a video at all, long enough, with sound?"""

from __future__ import annotations

from data_prepare.job import Job, Rejected, Step
from moda.media.video import probe

MIN_SECONDS = 1.0
MIN_SIDE = 64
"""Smallest picture that may hold a usable face."""


def run(job: Job) -> None:
    """Read the streams; reject what is too short or too small, or silent if that is not wanted."""
    info = probe(job.source)
    if min(info.width, info.height) < MIN_SIDE:
        raise Rejected(f"the picture is {info.width}x{info.height}, wanted at least {MIN_SIDE} pixels each way")
    if 0.0 < info.seconds < MIN_SECONDS:
        raise Rejected(f"lasts {info.seconds:.2f} s, wanted at least {MIN_SECONDS:g} s")
    if not info.has_audio and not job.options.allow_silent:
        raise Rejected("has no sound (--allow-silent keeps such videos)")
    job.info = info


STEP = Step("probe", needs=(), makes=("info",), version=1, run=run)

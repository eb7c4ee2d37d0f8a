"""Is this a video at all, long enough, with audio?"""

from __future__ import annotations

from pathlib import Path

from data_prepare.job import Job, Rejected, Step
from data_prepare.options import Options
from moda.media.video import VideoInfo, probe

MIN_SECONDS = 1.0
MIN_SIDE_PX = 64
"""Smallest picture that may hold a usable face."""


def read_info(path: Path) -> VideoInfo:
    """Size, rate, length and streams. Raises `MediaError` for what is no video, `OSError` for what may not be read."""
    with path.open("rb"):  # a file that may not be read is no bad video: it is tried again
        pass
    return probe(path)


def check(info: VideoInfo, options: Options) -> None:
    """Raise `Rejected` for what is too short or too small, or silent if that is not wanted."""
    if min(info.width, info.height) < MIN_SIDE_PX:
        raise Rejected(f"the picture is {info.width}x{info.height}, wanted at least {MIN_SIDE_PX} pixels each way")
    if 0.0 < info.seconds < MIN_SECONDS:
        raise Rejected(f"lasts {info.seconds:.2f} s, wanted at least {MIN_SECONDS:g} s")
    if not info.has_audio and not options.allow_silent:
        raise Rejected("has no audio (--allow-silent keeps such videos)")


def run(job: Job) -> None:
    """Read the streams, and check them."""
    job.info = read_info(job.source.path)
    check(job.info, job.options)


STEP = Step(
    "probe",
    needs=(),
    makes=("info",),
    version=3,
    run=run,
    settings=lambda options: {"allow_silent": options.allow_silent},
)

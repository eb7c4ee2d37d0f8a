"""One person's video (`data.video` of a train YAML), prepared into a clip store."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from data_prepare.options import Limits, Options
from data_prepare.runner import PreparationProgress, prepare
from data_prepare.sources.folder import SourceVideo, clip_ids
from data_prepare.splits import SplitRule
from moda.data.main_person import main_person
from moda.data.store import ClipStore
from moda.errors import DataError, FaceError
from moda.media.video import probe
from moda.processes import usable_cores
from moda.representation import FPS

log = logging.getLogger(__name__)

MIN_PERSON_SECONDS = 20.0
"""Seconds of the person that training needs."""
PROGRESS_LINE_SECONDS = 15.0
"""Seconds between lines of progress."""
UNLIMITED_OFFSET_FRAMES = 1e6
"""Frames: the audio plays no part here, so no audio-video offset is too large."""


def prepare_person(video: Path, store: Path, size: int) -> None:
    """Make a store of a video's main person; its split `train` lists the shots in the order of time.

    What is there already is not made again. Raises `DataError` for a video that is too short or has too
    little of one person, `FaceError` if there is no usable face in it, `MediaError` if it cannot be read.
    """
    seconds = probe(video).seconds
    if seconds < MIN_PERSON_SECONDS:
        raise DataError(
            f"{video} is {seconds:.0f} s long, "
            f"wanted at least {MIN_PERSON_SECONDS:.0f} s of one person (best 60 to 180)"
        )
    name = video.name
    source = SourceVideo(video, video.parent, name, clip_ids([name])[name], identity=video.stem)
    options = Options(
        size=size, allow_silent=True, correct_offset=False, limits=Limits(max_offset=UNLIMITED_OFFSET_FRAMES)
    )
    report = prepare(
        [source], store, options, rule=SplitRule(1.0, 0.0, 0.0), jobs=usable_cores(), on_progress=_Lines(video)
    )
    kept = [row for row in report.rows if row.status == "kept"]
    left_out = [f"{_where(row.shot)}: {row.reason}" for row in report.rows if row.status != "kept"]
    if not kept:
        raise FaceError(f"no usable face in {video}: {left_out[0] if left_out else 'nothing was found'}")
    opened = ClipStore.open(store)
    clips = [opened.clip(row.id) for row in sorted(kept, key=lambda row: row.shot or (0.0, 0.0))]
    mine, others = main_person(clips)
    shots = {row.id: row.shot for row in kept}
    left_out += [f"{_where(shots[clip.id])}: looks like another person" for clip in others]
    found = sum(clip.frames for clip in mine) / FPS
    for line in left_out:
        log.info("left out %s", line)
    if found < MIN_PERSON_SECONDS:
        raise DataError(
            f"{video} shows one person's face for {found:.0f} s, "
            f"wanted at least {MIN_PERSON_SECONDS:.0f} s (best 60 to 180)"
        )
    opened.write_splits({"train": [clip.id for clip in mine]})
    log.info("%s: %d shot%s of the person, %.1f s; in %s", video, len(mine), "s" * (len(mine) > 1), found, store)


class _Lines:
    """Lines of progress in the log."""

    def __init__(self, video: Path) -> None:
        self._video, self._said = video, time.monotonic()

    def __call__(self, progress: PreparationProgress) -> None:
        if time.monotonic() - self._said >= PROGRESS_LINE_SECONDS:
            self._said = time.monotonic()
            log.info("preparing %s: %d frames read", self._video, progress.frames)


def _where(shot: tuple[float, float] | None) -> str:
    return "all of it" if shot is None else f"{shot[0]:g} to {shot[1]:g} s"

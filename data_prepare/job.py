"""One shot of a video on its way into the store, and what a step is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prepare.annotations import Annotations
from data_prepare.options import Options
from data_prepare.scan.shots import Shot
from data_prepare.sources.folder import SourceVideo
from moda.errors import ModaError
from moda.media.video import VideoInfo
from moda.representation import HeadPose


class Rejected(ModaError):
    """This video is not fit for the store; the message says why. The run goes on."""


class Span(NamedTuple):
    """Frames [start, stop) of the source at 25 fps that become the clip."""

    start: int
    stop: int


@dataclass(frozen=True)
class Offset:
    """By how many frames at 25 fps the picture comes late, and what was done about it.

    confidence: of the estimate, see `moda.av_offset`. settled: it is trusted. corrected: the audio was moved by it.
    """

    frames: float
    confidence: float
    settled: bool
    corrected: bool


@dataclass
class Job:
    """One shot and the results of the steps so far. Steps set the attributes named in their `makes`."""

    clip_id: str
    source: SourceVideo
    shot: Shot
    folder: Path
    """Where this clip is being made; becomes the clip's folder when all steps are done."""
    options: Options
    annotations: Annotations | None = None
    """Pose and masks that other programs made."""
    tick: Callable[[int], None] = lambda frames: None
    """Called with the number of frames just worked through."""
    stamps: dict[str, Any] = field(default_factory=dict)
    """What the clip depends on, for clip.json."""

    info: VideoInfo = field(init=False)
    """From probe."""
    span: Span = field(init=False)
    landmarks: np.ndarray = field(init=False)
    """(T, 478, 3) float32 pixels of the square frame, without gaps."""
    tracked: np.ndarray = field(init=False)
    """(T,) bool."""
    outlined: np.ndarray = field(init=False)
    """(K,) frames whose person mask was made."""
    outlines: np.ndarray = field(init=False)
    """(K, 256) their upper edges, see `moda.tracking.person.upper_edge`."""
    jumps: int = field(init=False)
    """Times that the face jumps from one frame to the next inside the span."""
    padded_audio: np.ndarray | None = field(init=False)
    """Audio of the span with a margin on both sides, see steps/audio.py; None without audio."""
    offset: Offset | None = field(init=False)
    wave: np.ndarray | None = field(init=False)
    """(N,) float32 audio of the span, in time with the picture, or None."""
    pose: HeadPose = field(init=False)
    subject: np.ndarray = field(init=False)
    torso: np.ndarray = field(init=False)
    quality: dict[str, float] = field(init=False)
    preview: bool = field(init=False)
    packed: bool = field(init=False)

    @property
    def frames(self) -> int:
        """Length of the clip."""
        return self.span.stop - self.span.start


class Step(NamedTuple):
    """One step of preparation.

    name: stored in clip.json with its stamp. needs, makes: attributes of `Job` that `run` reads and sets.
    version: a new one makes this step, and those that need what it makes, run again on old clips.
    settings: the options that its result depends on, with which it is stamped. annotations: files of other programs
    that it takes where they are there (`Annotations`), stamped likewise.
    """

    name: str
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    version: int
    run: Callable[[Job], None]
    settings: Callable[[Options], object] = lambda options: None
    annotations: tuple[str, ...] = ()

    def stamp(self, options: Options, annotations: Annotations | None) -> str:
        """Version and settings in words: equal stamps mean equal results."""
        settings = self.settings(options)
        words = [str(self.version)]
        if settings is not None:
            words.append(json.dumps(settings, sort_keys=True))
        if annotations is not None and self.annotations:
            words.append(annotations.stamp(self.annotations))
        return " ".join(words)


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Order steps so that each comes after those that make what it needs.

    Raises `ValueError` if something is made twice or by nobody, or if steps wait for one another.
    """
    made = [name for step in steps for name in step.makes]
    if twice := {name for name in made if made.count(name) > 1}:
        raise ValueError(f"made by more than one step: {sorted(twice)}")
    ordered: list[Step] = []
    waiting = list(steps)
    ready: set[str] = set()
    while waiting:
        step = next((step for step in waiting if ready.issuperset(step.needs)), None)
        if step is None:
            wants = {step.name: sorted(set(step.needs) - ready) for step in waiting}
            raise ValueError(f"steps that can never run, and what they wait for: {wants}")
        waiting.remove(step)
        ordered.append(step)
        ready.update(step.makes)
    return ordered


def offset_record(offset: Offset | None) -> dict[str, float | bool] | None:
    """As clip.json and report.json hold it."""
    return None if offset is None else asdict(offset)

"""One shot of a video on its way into the store, and what a step is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
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
    """Frames [start, stop) of the source at 25 fps that are kept."""

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


class Job:
    """One shot and what the steps have made of it. Steps set the attributes named in their `makes`."""

    info: VideoInfo
    """From probe."""
    span: Span
    landmarks: np.ndarray
    """(T, 478, 3) float32 pixels of the square frame, without gaps."""
    tracked: np.ndarray
    """(T,) bool."""
    outlined: np.ndarray
    """(K,) frames whose person mask was made."""
    outlines: np.ndarray
    """(K, 256) their upper edges, see `moda.tracking.person.upper_edge`."""
    jumps: int
    """Times that the face jumps from one frame to the next inside what is kept."""
    padded_audio: np.ndarray | None
    """Audio of the kept frames with a margin on both sides, see steps/audio.py; None without audio."""
    offset: Offset | None
    wave: np.ndarray | None
    """(N,) float32 audio of the kept frames, in time with the picture, or None."""
    pose: HeadPose
    subject: np.ndarray
    torso: np.ndarray
    quality: dict[str, float]
    preview: bool
    packed: bool

    def __init__(
        self,
        clip_id: str,
        source: SourceVideo,
        shot: Shot,
        folder: Path,
        options: Options,
        given: Annotations | None = None,
        tick: Callable[[int], None] = lambda frames: None,
    ) -> None:
        self.clip_id = clip_id
        self.source = source
        self.shot = shot
        self.folder = folder
        """Where this clip is being made; becomes the clip's folder when all steps are done."""
        self.options = options
        self.given = given
        """Pose and masks that the user brought."""
        self.tick = tick
        """Called with the number of frames just worked through."""
        self.stamps: dict[str, Any] = {}
        """What the clip depends on, for clip.json."""

    @property
    def frames(self) -> int:
        """Length of the clip."""
        return self.span.stop - self.span.start


class Step(NamedTuple):
    """One step of preparation.

    name: stored in clip.json with its stamp. needs, makes: attributes of `Job` that `run` reads and sets.
    version: a new one makes this step, and those that need what it makes, run again on old clips.
    settings: the options that its result depends on, with which it is stamped.
    """

    name: str
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    version: int
    run: Callable[[Job], None]
    settings: Callable[[Options], object] = lambda options: None

    def stamp(self, options: Options, given: Annotations | None) -> str:
        """Version and settings in words: equal stamps mean equal results."""
        settings = self.settings(options)
        words = [str(self.version)]
        if settings is not None:
            words.append(json.dumps(settings, sort_keys=True))
        if given is not None and self.name in ("normalise", "pose"):
            words.append(given.stamp(pose=self.name == "pose"))
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

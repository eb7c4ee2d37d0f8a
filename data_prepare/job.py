"""One video on its way into the store, and what a step is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from moda.errors import ModaError
from moda.media.crop import Box
from moda.media.video import VideoInfo
from moda.representation import HeadPose


class Rejected(ModaError):
    """This video is not fit for the store; the message says why. The run goes on."""


@dataclass(frozen=True)
class Options:
    """What is wanted of every clip.

    size: side of the stored video, pixels. allow_silent: keep clips without sound.
    """

    size: int = 512
    allow_silent: bool = False


class Span(NamedTuple):
    """Frames [start, stop) of the source at 25 fps that are kept."""

    start: int
    stop: int


class Job:
    """One video and what the steps have made of it. Steps set the attributes named in their `makes`."""

    info: VideoInfo
    """From probe."""
    box: Box
    """Crop in the source, from scout."""
    span: Span
    landmarks: np.ndarray
    """(T, 478, 3) float32 pixels of the square frame, without gaps."""
    tracked: np.ndarray
    """(T,) bool."""
    outlined: np.ndarray
    """(K,) frames whose person mask was made."""
    outlines: np.ndarray
    """(K, 256) their upper edges, see `moda.media.torso_tracker.upper_edge`."""
    sharpness: float
    """Median variance of the Laplacian in the face's box of the stored video."""
    wave: np.ndarray | None
    """(N,) float32 sound of the kept frames, or None."""
    pose: HeadPose
    canonical: np.ndarray
    subject: np.ndarray
    torso: np.ndarray
    quality: dict[str, float]
    packed: bool

    def __init__(
        self,
        source: Path,
        name: str,
        clip_id: str,
        identity: str,
        folder: Path,
        options: Options,
        versions: dict[str, int],
        tick: Callable[[int], None] = lambda frames: None,
    ) -> None:
        self.source = source
        self.name = name
        """Path of the source relative to the folder of videos."""
        self.clip_id = clip_id
        self.identity = identity
        self.folder = folder
        """Where this clip is being made; becomes the clip's folder when all steps are done."""
        self.options = options
        self.versions = versions
        """Version of every step, for clip.json."""
        self.tick = tick
        """Called with the number of frames just worked through."""


class Step(NamedTuple):
    """One step of preparation.

    name: stored in clip.json with `version`; a new version makes old clips be prepared again.
    needs, makes: attributes of `Job` that `run` reads and sets.
    """

    name: str
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    version: int
    run: Callable[[Job], None]


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

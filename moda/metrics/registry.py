"""The registry of metrics: their input (`ClipPair`), their result (`Value`) and the decorator `@metric`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from moda.config import Config
from moda.errors import ModaError
from moda.metrics.pictures import PicturePair
from moda.metrics.tracks import FaceTrack, PairedTracks
from moda.representation import FPS


@dataclass(frozen=True)
class NotAvailable:
    """Stands for a value that cannot be computed; `why` is printed in the cell, never a number.

    lasting: another call with the same files and settings finds the same; not so where a package or a file is missing.
    """

    why: str
    lasting: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        return f"not available: {self.why}"

    def __reduce__(self) -> tuple[Callable[..., NotAvailable], tuple[str, bool]]:
        return reason, (self.why, self.lasting)


@lru_cache(maxsize=1 << 12)
def reason(why: str, lasting: bool) -> NotAvailable:
    """One object for all clips that have this reason, those of other processes too: a large corpus has millions."""
    return NotAvailable(why, lasting)


Value = float | NotAvailable
NO_PICTURES = NotAvailable("no pictures")
NO_AUDIO = NotAvailable("no audio in either video")
ONE_SAMPLE = NotAvailable("one sample only, no seeds to compare")
NOT_RECORDED = NotAvailable("not recorded when these videos were made")
NOT_ASKED = "not asked for"
"""How the reason begins where a network of the user's is missing; reports list these in one line."""


def not_asked(what: str) -> NotAvailable:
    """What a metric needs, as option and value."""
    return NotAvailable(f"{NOT_ASKED}: {what}")


SpeechDetector = Literal["loudness", "silero"]
"""How speech is told from silence (`moda.metrics.speech`)."""


class MetricSettings(Config):
    """Settings of metrics that a user may change; part of the reports."""

    sync_weights: Path | None = None
    """Published SyncNet weights (syncnet_v2.model); null = the network that ships."""
    phonemes: str | None = None
    """Where the times of /p b m/ come from: a folder of alignments, CLIP.TextGrid or CLIP.tsv, or "hama", the
    recogniser (moda[phonemes]); null = leave "lips closed" out."""
    speech: SpeechDetector = "loudness"
    """How speech is told from silence; "silero" needs moda[silero]."""
    quality_weights: Path | None = None
    """Folder of pyiqa's weights (moda[quality]), for THEval's picture quality; null = leave it out."""
    face_weights: Path | None = None
    """A face recogniser for CSIM: dlib's .dat (moda[faces]), or TorchScript; null = leave it out, as the next ones."""
    perceptual_weights: Path | None = None
    """VGG19, VGG16 or SqueezeNet 1.1, for the perceptual distance."""
    lip_weights: Path | None = None
    """A lip reader as TorchScript, for LipScore."""
    fid_weights: Path | None = None
    """The Inception network of FID as TorchScript (inception-2015-12-05.pt)."""
    fvd_weights: Path | None = None
    """The I3D network of FVD as TorchScript (i3d_torchscript.pt)."""


@dataclass(frozen=True)
class ClipPair:
    """A generated clip beside the true one: all that a metric may look at.

    tracks: both faces in the square frame, frame by frame. Where `other_framing` is set, the generated one
        is in a square frame of its own, and only what is measured after alignment can be compared.
    wave: (N,) float32 audio at 16 kHz that drives the clip, from the pair's frame 0 on (the generated video's
        own audio if it has any, else the true one's); None without audio.
    pictures: the frames of both videos, or why there are none.
    other_framing: why pixel positions of the two cannot be compared; None when they can.
    samples: the clip's face as generated with several seeds, each in the square frame, or why there are none.
    real_time_factor: seconds of work per second of video, or why it is not known.
    name: of the clip, by which files that belong to it are found.
    """

    tracks: PairedTracks
    wave: np.ndarray | None = None
    pictures: PicturePair | NotAvailable = NO_PICTURES
    other_framing: str | None = None
    samples: tuple[FaceTrack, ...] | NotAvailable = ONE_SAMPLE
    real_time_factor: float | NotAvailable = NOT_RECORDED
    settings: MetricSettings = field(default_factory=MetricSettings)
    name: str = ""

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return len(self.tracks) / FPS


Better = Literal["lower", "higher", "one", "zero", "truth", "none"]
"""Which way a value is better; "one", "zero", "truth": the closer to 1, 0 or the truth's value, from either side;
"none": it describes."""
Need = Literal["tracks", "frame", "pictures", "audio", "samples", "generation"]
"""A part of a `ClipPair` that a metric needs.

tracks: both faces (always there). frame: pixel positions of both are comparable (`other_framing` is None).
pictures: frames of both videos. audio: `wave`. samples: several seeds. generation: `real_time_factor`.
"""
Compute = Callable[[ClipPair], Value]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column of the tables.

    name: key in files. label: column title. unit: as printed. digits: decimals printed. version: raised
    whenever the same clip would give another value. source: where the definition comes from. definition: one
    paragraph. variant: names which of several ways is used under given settings (weights, say); printed.
    """

    name: str
    label: str
    unit: str
    better: Better
    version: int
    digits: int
    source: str
    definition: str
    variant: Callable[[MetricSettings], str] | None = None

    def key(self, settings: MetricSettings) -> str:
        """Changes whenever the same clip would give another value: version and variant."""
        return f"{self.version}" if self.variant is None else f"{self.version} {self.variant(settings)}"


@dataclass(frozen=True, kw_only=True)
class Metric(Measure):
    """A registered metric of a clip."""

    needs: tuple[Need, ...]
    compute: Compute

    def measure(self, clip: ClipPair) -> Value:
        """The value of one clip; a need that is not met, a value that is not finite and a failure
        that a user can do something about (`ModaError`) become `NotAvailable`.
        """
        missing = missing_need(clip, self.needs)
        if missing is not None:
            return missing
        try:
            value = self.compute(clip)
        except ModaError as error:
            return NotAvailable(" ".join(str(error).split()), lasting=False)
        if isinstance(value, NotAvailable):
            return value
        return float(value) if math.isfinite(value) else NotAvailable("the result is not a finite number")


def missing_need(clip: ClipPair, needs: tuple[Need, ...]) -> NotAvailable | None:
    """Why the first need that a clip does not meet is not met; None when all are."""
    for need in needs:
        if need == "frame" and clip.other_framing is not None:
            return NotAvailable(clip.other_framing)
        if need == "pictures" and isinstance(clip.pictures, NotAvailable):
            return clip.pictures
        if need == "audio" and clip.wave is None:
            return NO_AUDIO
        if need == "samples" and isinstance(clip.samples, NotAvailable):
            return clip.samples
        if need == "generation" and isinstance(clip.real_time_factor, NotAvailable):
            return clip.real_time_factor
    return None


METRICS: dict[str, Metric] = {}
"""Registered metrics by name, in the order of the columns."""


def chosen_metrics(skip: Collection[str]) -> tuple[str, ...]:
    """Names of the metrics except those to skip."""
    return tuple(name for name in METRICS if name not in skip)


def metric(
    *,
    name: str,
    label: str,
    unit: str,
    better: Better,
    source: str,
    version: int = 1,
    digits: int = 2,
    needs: tuple[Need, ...] = ("tracks",),
    variant: Callable[[MetricSettings], str] | None = None,
) -> Callable[[Compute], Compute]:
    """Register the decorated function.

    Raises ValueError when the name is taken, a need is unknown, or there is no docstring or source.
    """

    def register(compute: Compute) -> Compute:
        definition = definition_of(compute, name)
        if not source:
            raise ValueError(f"metric '{name}' names no source of its definition")
        unknown = [need for need in needs if need not in get_args(Need)]
        if unknown:
            raise ValueError(f"metric '{name}' needs {unknown}, wanted some of {get_args(Need)}")
        if name in METRICS:
            raise ValueError(f"metric '{name}' is registered twice")
        METRICS[name] = Metric(
            name=name, label=label, unit=unit, better=better, version=version, digits=digits, source=source,
            needs=needs, definition=definition, compute=compute, variant=variant,
        )  # fmt: skip
        return compute

    return register


def definition_of(compute: Callable[..., object], name: str) -> str:
    """The first paragraph of a function's docstring on one line; raises ValueError where there is none."""
    definition = " ".join((inspect.getdoc(compute) or "").split("\n\n")[0].split())
    if not definition:
        raise ValueError(f"metric '{name}' has no docstring: its first paragraph is the definition printed")
    return definition

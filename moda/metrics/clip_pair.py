"""One clip of one row: all that a metric may look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moda.metrics.pictures import PicturePair
from moda.metrics.tracks import FaceTrack, PairedTracks
from moda.metrics.values import NotAvailable
from moda.representation import FPS

NO_PICTURES = NotAvailable("no pictures")
ONE_SAMPLE = NotAvailable("one sample only, no seeds to compare")
NOT_RECORDED = NotAvailable("not recorded when these videos were made")


@dataclass(frozen=True)
class MetricSettings:
    """What a person may choose about metrics; part of the reports.

    sync_weights: the published SyncNet weights (`syncnet_v2.model`), or None for the network that ships.
    """

    sync_weights: Path | None = None


@dataclass(frozen=True)
class ClipPair:
    """A generated clip beside the true one.

    tracks: both faces in the square frame, frame by frame. Where `other_framing` says so, the generated one
        is in a square frame of its own, and only what is measured after alignment can be compared.
    wave: (N,) float32 audio at 16 kHz that drives the clip, from the pair's frame 0 on (the generated video's
        own audio if it has any, else the true one's); None without audio.
    pictures: the frames of both videos, or why there are none.
    other_framing: why pixel positions of the two cannot be compared; None when they can.
    samples: the clip's face as generated with several seeds, each in the square frame, or why there are none.
    real_time_factor: seconds of work a second of video, or why it is not known.
    """

    tracks: PairedTracks
    wave: np.ndarray | None = None
    pictures: PicturePair | NotAvailable = NO_PICTURES
    other_framing: str | None = None
    samples: tuple[FaceTrack, ...] | NotAvailable = ONE_SAMPLE
    real_time_factor: float | NotAvailable = NOT_RECORDED
    settings: MetricSettings = field(default_factory=MetricSettings)

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return len(self.tracks) / FPS

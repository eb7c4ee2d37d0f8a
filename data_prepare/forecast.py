"""How many frames a preparation will have to decode, estimated before the first video is done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from statistics import fmean

from data_prepare.sources.folder import SourceVideo
from moda.errors import MediaError
from moda.media.probe import probe
from moda.representation import FPS

PASSES_A_VIDEO = 2
"""A video is decoded once by the scan and once more for its clips."""


class Forecast:
    """Frames of the videos and clips that are still to be done. `read_next_length` reads one video's length at a time,
    so that a run of thousands starts at once; videos not yet read count with the mean of the others.
    """

    def __init__(self, videos: Iterable[SourceVideo], clip_frames: int) -> None:
        """videos: to be scanned. clip_frames: of clips that are to be made of scanned ones."""
        self._unknown = list(videos)[::-1]
        self._videos, self._clip_frames = len(self._unknown), clip_frames
        self._lengths: list[float] = []

    def read_next_length(self) -> None:
        """Read the length of one more video; 0 for one that cannot be read."""
        if not self._unknown:
            return
        source = self._unknown.pop()
        frames = 0.0
        if source.part is not None:
            frames = source.part.stop - source.part.start
        else:
            with contextlib.suppress(MediaError, OSError):
                frames = probe(source.path).seconds * FPS
        self._lengths.append(frames)

    @property
    def frames(self) -> int:
        """Frames in all; 0 before the first length is read."""
        mean = fmean(self._lengths) if self._lengths else 0.0
        return round(PASSES_A_VIDEO * self._videos * mean) + self._clip_frames

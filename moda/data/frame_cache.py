"""Decoded frames in memory, within a bound, shared by the processes that load data."""

from __future__ import annotations

import mmap
import zlib

import numpy as np

MIN_CACHED_SHARE = 0.25
"""Where less than this share of the frames fits, none is kept: few would be met again."""
BYTES_A_GB = 1 << 30


class FrameCache:
    """The first frames of a set by number, as many as fit; a page of memory is taken when its frame is written.

    Processes that are forked off share it; one that is started afresh has one of its own. A frame counts as there
    when its check sum does, so one that another process is just writing is decoded again.
    """

    def __init__(self, frames: int, side: int, limit_gb: float) -> None:
        """frames: number of them in the set, (side, side, 3) uint8 each."""
        self._total, self._side, self._limit_gb = frames, side, limit_gb
        each = 3 * side * side
        fit = min(frames, int(limit_gb * BYTES_A_GB) // each)
        self.frames = fit if fit >= MIN_CACHED_SHARE * frames else 0
        self._pictures = _shared(self.frames * each).reshape(-1, side, side, 3)
        self._sums = _shared(4 * self.frames).view(np.uint32)

    def get(self, number: int) -> np.ndarray | None:
        """A frame, read-only, or None."""
        if number >= self.frames or not self._sums[number]:
            return None
        picture = self._pictures[number]
        picture.flags.writeable = False
        return picture if _sum(picture) == self._sums[number] else None

    def put(self, number: int, picture: np.ndarray) -> None:
        """Keep a frame, if it is one of those that fit."""
        if number < self.frames:
            self._pictures[number] = picture
            self._sums[number] = _sum(picture)

    def __reduce__(self) -> tuple[type[FrameCache], tuple[int, int, float]]:
        return FrameCache, (self._total, self._side, self._limit_gb)


def _shared(size: int) -> np.ndarray:
    """Zeros that forked processes share, (size,) uint8."""
    return np.frombuffer(mmap.mmap(-1, size), np.uint8) if size else np.zeros(0, np.uint8)


def _sum(picture: np.ndarray) -> int:
    """Check sum of a picture's last row and of every eighth before it, never 0."""
    return zlib.crc32(picture[::-8].tobytes()) | 1

"""Frames of a pair of videos in the common square frame, decoded on demand.

Several metrics read the same frames, and the shifted controls read those of the truth again, so decoded frames are
cached as long as they are small: see `VideoPictures`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moda.imaging.crop import Box
from moda.media.video import read_frames
from moda.representation import FPS, FRAME

MAX_CACHED_READINGS = 3
"""Ways of reading (step, size) of which a video's frames are cached."""
MAX_CACHED_BYTES = 96 << 20
"""Most bytes of frames that are cached for one way of reading a video; longer videos are decoded again."""


class VideoPictures:
    """One video's square, read at 25 fps.

    path: the video. box: the square in pixels of its picture. frames: their number at 25 fps.
    """

    def __init__(self, path: Path, box: Box, frames: int) -> None:
        self.path, self.box, self.frames = path, box, frames
        self._cached: OrderedDict[tuple[int, int, int], list[np.ndarray]] = OrderedDict()
        self._known: dict[str, dict[int, float]] = {}

    def known(self, what: str) -> dict[int, float]:
        """A metric's values of single frames, by frame, for it to fill: rows that show the same frames share them."""
        return self._known.setdefault(what, {})

    def read(self, start: int, stop: int, every: int = 1, size: int | None = None) -> Iterator[np.ndarray]:
        """Frames start, start + every, ... below stop: RGB uint8 (S, S, 3), S = `size` or 512.

        Raises `MediaError` if the video cannot be read.
        """
        side = size or FRAME
        first = start % every
        key = (first, every, side)
        if -(-(self.frames - first) // every) * side * side * 3 > MAX_CACHED_BYTES:
            yield from self._decode(start, stop, every, side)
            return
        if key not in self._cached:
            self._cached[key] = list(self._decode(first, self.frames, every, side))
            while len(self._cached) > MAX_CACHED_READINGS:
                self._cached.popitem(last=False)
        self._cached.move_to_end(key)
        yield from self._cached[key][start // every : -(-(stop - first) // every)]

    def _decode(self, start: int, stop: int, every: int, side: int) -> Iterator[np.ndarray]:
        yield from read_frames(self.path, fps=FPS, size=side, crop=self.box, only=range(start, stop, every))

    def at(self, moments: Sequence[int], size: int) -> Iterator[np.ndarray]:
        """The frames at these moments, ascending; of the others none is made a picture."""
        return read_frames(self.path, fps=FPS, size=size, crop=self.box, only=moments)


@dataclass(frozen=True)
class PicturePair:
    """The pictures of a pair, in step with its tracks: frame t of both shows the moment t / 25 s.

    *_start: where the pair's frame 0 lies in each video (the shifted controls). frames: length of the pair.
    """

    true_video: VideoPictures
    generated_video: VideoPictures
    frames: int
    true_start: int = 0
    generated_start: int = 0

    def true(self, every: int = 1, size: int | None = None) -> Iterator[np.ndarray]:
        """The true frames 0, every, 2 every ...: RGB uint8 (S, S, 3), S = `size` or 512, the tracks' own pixels."""
        return self.true_video.read(self.true_start, self.true_start + self.frames, every, size)

    def generated(self, every: int = 1, size: int | None = None) -> Iterator[np.ndarray]:
        """The generated frames of the same moments."""
        return self.generated_video.read(self.generated_start, self.generated_start + self.frames, every, size)

    @property
    def source_side(self) -> tuple[int, int]:
        """Side of the square in pixels of each file, (true, generated): the real resolution."""
        return self.true_video.box.side, self.generated_video.box.side

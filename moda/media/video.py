"""Video in and out: RGB uint8 frames, (H, W, 3)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from moda.errors import MediaError
from moda.media.container import main_track, open_container
from moda.media.conversion import Conversion, Picture, scaling
from moda.media.probe import VideoInfo, check_streams, probe
from moda.media.timeline import decoded
from moda.media.video_writer import VideoWriter
from moda.representation import FPS

__all__ = ["VideoInfo", "VideoReader", "VideoWriter", "check_streams", "probe", "read_frames"]

_MAX_HOLD_SECONDS = 3600.0
"""One picture that is shown for longer is a damaged time."""


def read_frames(
    path: Path | str,
    fps: float | None = FPS,
    size: int | tuple[int, int] | None = None,
    crop: tuple[int, int, int] | None = None,
    only: Sequence[int] | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frames of a video, RGB uint8 (H, W, 3), one at a time; they are read-only.

    fps: resampled by time to this rate (frame i shows the moment i / fps); None = as stored.
    size: scale to this side, or (width, height). crop: (left, top, side) in pixels of the shown
    picture, cut before scaling. only: numbers of the frames that are wanted, ascending;
    others are decoded, but not made pictures, and what follows the last is not read.
    A stream that changes its size in the middle keeps that of its start, HDR is tone-mapped.
    Raises `MediaError` if there is no video, or not one frame of it can be decoded.
    """
    path = Path(path)
    info = probe(path)
    if crop is not None:
        check_crop(info, path, *crop)
    cut = (info.width, info.height) if crop is None else (crop[2], crop[2])
    wanted = cut if size is None else (size, size) if isinstance(size, int) else size
    picture = Picture((info.width, info.height), crop, wanted, "rgb24", scaling(cut, wanted))
    return _arrays(path, fps, Conversion(picture, info.pixel_aspect, path), only)


def check_crop(info: VideoInfo, path: Path, left: int, top: int, side: int) -> None:
    """Raise `MediaError` if a square crop lies outside the picture."""
    if left < 0 or top < 0 or side < 1 or left + side > info.width or top + side > info.height:
        raise MediaError(f"the crop {(left, top, side)} lies outside the {info.width}x{info.height} picture of {path}")


def _arrays(path: Path, fps: float | None, conversion: Conversion, only: Sequence[int] | None) -> Iterator[np.ndarray]:
    number = 0
    for frame, count in timed_frames(path, fps):
        if only is not None and (not only or number > only[-1]):
            return
        seen = count if only is None else sum(n in only for n in range(number, number + count))
        number += count
        if seen:
            array = conversion(frame).to_ndarray()
            array.flags.writeable = False
            for _ in range(seen):
                yield array


def timed_frames(
    path: Path, fps: float | None = FPS, *, start: int = 0, lead: int = 0
) -> Iterator[tuple[VideoFrame, int]]:
    """Yield the frames of a video that are seen at `fps`, and for how many of its ticks; None = each frame once.

    Tick i is the moment i / fps; each frame is moved to the nearest tick, of several on one tick the last is seen.
    The first frame is seen from the file's start on. start: the first tick that is wanted. lead: ticks before it
    that are decoded, if it is sought; 0 = never seek.
    Raises `MediaError` if not one frame can be decoded.
    """
    if fps is None:
        for moment in decoded(path, "video", "video"):
            yield _video(moment.frame), 1
        return
    rate = Fraction(fps).limit_denominator(100_000)
    held: VideoFrame | None = None
    tick = start
    end = Fraction(0)
    sought = float((start - lead) / rate) if 0 < lead < start else 0.0
    for moment in decoded(path, "video", "video", start=sought):
        time = end if moment.start is None else moment.start
        frame = _video(moment.frame)
        due = math.floor(time * rate + Fraction(1, 2))
        if due - tick > _MAX_HOLD_SECONDS * rate:
            raise MediaError(
                f"a picture lasts {float((due - tick) / rate) / 3600:,.0f} hours, the file is damaged: {path}"
            )
        if held is not None and due > tick:
            yield held, due - tick
            tick = due
        held = frame
        end = time + (moment.seconds or 1 / rate)
    if held is not None:
        rest = math.floor(end * rate + Fraction(1, 2)) - tick
        if rest > 0 or (tick == start == 0):
            yield held, max(1, rest)


def _video(frame: object) -> VideoFrame:
    assert isinstance(frame, VideoFrame)
    return frame


class VideoReader:
    """Random access by frame index to a constant-rate video as `VideoWriter` makes for the clip store.

    Fast for videos with short groups of pictures (`gop`).
    May be sent to another process: it opens the file again there. Use as a context manager or `close()`.
    """

    _AHEAD = 12
    """Frames to decode and drop rather than to seek."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._process = -1
        self._next = 0
        self._open_file: tuple[ExitStack, InputContainer, VideoStream] | None = None
        self._decoded: Iterator[VideoFrame] = iter(())
        _, stream = self._open()
        self.fps = float(stream.average_rate or FPS)
        self.width, self.height = stream.codec_context.width, stream.codec_context.height
        length = float((stream.duration or 0) * (stream.time_base or 0))
        self._frames = stream.frames or round(length * self.fps)
        size = self.width, self.height
        self._conversion = Conversion(Picture(size, None, size, "rgb24", scaling(size, size)), 1.0, self.path)

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: int) -> np.ndarray:
        """Frame `index` (not negative), RGB uint8 (H, W, 3); raises `IndexError` beyond the end."""
        if not 0 <= index < self._frames:
            raise IndexError(f"frame {index} of {self._frames} in {self.path}")
        container, stream = self._open()
        try:
            if not self._next <= index <= self._next + self._AHEAD:
                self._next = -1
                container.seek(self._ticks(index, stream), stream=stream, backward=True)
                self._decoded = container.decode(stream)
            for frame in self._decoded:
                at = self._index(frame, stream)
                self._next = at + 1
                if at >= index:
                    break
            else:
                at = -1
        except (FFmpegError, OSError, ValueError) as error:
            self.close()
            raise MediaError(f"frame {index} of {self.path} cannot be decoded ({error})") from error
        if at != index:
            self.close()
            raise MediaError(f"frame {index} of {self.path} cannot be decoded")
        return self._conversion(frame).to_ndarray()

    def close(self) -> None:
        """Let go of the file; it opens again on the next access."""
        if self._open_file is not None and self._process == os.getpid():
            self._open_file[0].close()
        self._open_file, self._decoded = None, iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open_file": None, "_process": -1, "_decoded": None, "_conversion": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        size = self.width, self.height
        self._conversion = Conversion(Picture(size, None, size, "rgb24", scaling(size, size)), 1.0, self.path)

    def _ticks(self, index: int, stream: VideoStream) -> int:
        assert stream.time_base is not None
        return (stream.start_time or 0) + round(index / (Fraction(stream.average_rate or FPS) * stream.time_base))

    def _index(self, frame: VideoFrame, stream: VideoStream) -> int:
        assert stream.time_base is not None and frame.pts is not None
        ticks = frame.pts - (stream.start_time or 0)
        return round(ticks * float(stream.time_base) * float(stream.average_rate or FPS))

    def _open(self) -> tuple[InputContainer, VideoStream]:
        if self._open_file is None or self._process != os.getpid():
            with ExitStack() as stack:
                container = stack.enter_context(open_container(self.path, "video"))
                stream = main_track(container, "video")
                if not isinstance(stream, VideoStream):
                    raise MediaError(f"not a video that can be read: {self.path} (no picture)")
                stream.codec_context.thread_count = 1
                self._open_file = stack.pop_all(), container, stream
            self._process, self._next = os.getpid(), 0
            self._decoded = container.decode(stream)
        return self._open_file[1:]

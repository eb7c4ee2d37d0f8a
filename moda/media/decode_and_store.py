"""One decode of a source video, two outputs: a file is written while the caller analyses small pictures.

Frames do not pass through Python's arrays on their way to the file, so their colours are converted once and never
copied; the pictures for the caller are as small as it can use.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice, repeat
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from moda.errors import OutputError
from moda.media.conversion import FOR_VIDEO, Conversion, Picture, scaling
from moda.media.probe import VideoInfo
from moda.media.video import check_crop, timed_frames
from moda.media.video_writer import H264, Mp4File
from moda.representation import FPS

STORED = H264(crf=16, preset="ultrafast", gop=12, bframes=0, threads=1)
"""Of the stored video. The preset only trades file size for time: "veryfast" took a quarter more CPU over all steps."""
MIN_SEEK_SECONDS = 10.0
"""Later starts are sought, not decoded to; the seek aims some seconds before the start."""
SEEK_LEAD_FRAMES = 100
"""Frames at 25 fps that are decoded at the least before a start that was sought."""


class VideoRange(NamedTuple):
    """Frames [start, stop) of a video at 25 fps; stop None: to its end."""

    path: Path
    info: VideoInfo
    start: int = 0
    stop: int | None = None

    @property
    def expected_frames(self) -> float:
        """Number of frames, by the file's header if there is no stop."""
        return (self.info.seconds * FPS if self.stop is None else self.stop) - self.start

    def frames(self) -> Iterator[VideoFrame]:
        """Decode them in turn; a frame that is shown for longer comes several times."""
        lead = SEEK_LEAD_FRAMES if self.start > MIN_SEEK_SECONDS * FPS else 0
        timed = timed_frames(self.path, FPS, start=self.start, lead=lead)
        repeated = chain.from_iterable(repeat(frame, count) for frame, count in timed)
        return islice(repeated, None if self.stop is None else max(0, self.stop - self.start))


def frames_with_thumbnails(
    source: VideoRange, thumbnails: Path, *, every: int, height: int, side: int
) -> Iterator[np.ndarray]:
    """Yield one in `every` of the frames; all of them go to a file as thumbnails.

    Frames: RGB uint8, shrunk to `height` if they are taller. thumbnails: written raw, `side` x `side`
    grey levels a frame (`read_thumbnails`).
    Raises `MediaError` if not one frame can be decoded, `OutputError` if the file cannot be written.
    """
    info = source.info
    shown = info.width, info.height
    seen = shown if info.height <= height else (max(2, round(info.width * height / info.height)), height)
    small = Conversion(Picture(shown, None, (side, side), "gray", "flags=area"), info.pixel_aspect, source.path)
    look = Conversion(Picture(shown, None, seen, "rgb24", "flags=bilinear"), info.pixel_aspect, source.path)
    try:
        with thumbnails.open("wb") as file:
            for number, frame in enumerate(source.frames()):
                file.write(small(frame).to_ndarray().tobytes())
                if number % every == 0:
                    yield look(frame).to_ndarray()
    except OSError as error:
        raise OutputError(f"cannot write {thumbnails}: {error.strerror or error}") from error


def read_thumbnails(path: Path, side: int) -> np.ndarray:
    """(T, side, side) uint8 grey levels written by `frames_with_thumbnails`, not read until they are used."""
    count = path.stat().st_size // (side * side)
    if count == 0:
        return np.zeros((0, side, side), np.uint8)
    return np.memmap(path, np.uint8, "r", shape=(count, side, side))


def frames_while_storing(
    source: VideoRange, stored: Path, *, size: int, side: int, crop: tuple[int, int, int], tags: dict[str, str]
) -> Iterator[np.ndarray]:
    """Yield the frames cropped, `side` x `side`; they are stored at `size` x `size`.

    crop: (left, top, side) in pixels of the shown picture. Frames: RGB uint8. The stored video is H.264
    with short groups of pictures and no B-frames, for random access (`VideoReader`). It is whole when
    the iterator ends by itself, and not before. A file that was there is removed first, not written into.
    Raises `MediaError` if not one frame can be decoded, `OutputError` if the file cannot be written.
    """
    info, path = source.info, source.path
    check_crop(info, path, *crop)
    assert side % 2 == 0 and size % 2 == 0, "4:2:0 pictures have even sides"
    box = (crop[2], crop[2])
    wanted = Picture((info.width, info.height), crop, (size, size), "yuv420p", scaling(box, (size, size)) + FOR_VIDEO)
    whole = Conversion(wanted, info.pixel_aspect, path)
    small = Conversion(Picture((size, size), None, (side, side), "yuv420p", "flags=bilinear"), 1.0, path)
    try:
        stored.unlink(missing_ok=True)  # it may have another name, too (`data_prepare.own_files.link_files`)
        with Mp4File(stored, (size, size), Fraction(FPS), STORED, tags) as store:
            for frame in source.frames():
                picture = whole(frame)
                planes = small(picture).to_ndarray()
                store.write(picture)
                yield cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)
    except (OSError, FFmpegError) as error:
        raise OutputError(f"cannot write {stored}: {error.strerror or error}") from error

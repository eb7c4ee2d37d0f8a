"""Video in and out through pipes of ffmpeg: RGB uint8 frames, (H, W, 3)."""

from __future__ import annotations

import errno
import logging
import math
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from moda.errors import MediaError, OutputError
from moda.media.ffmpeg import QUIET, ffmpeg_program, input_arguments, last_line, require_file
from moda.media.probe import VideoInfo, check_streams, probe
from moda.media.video_writer import VideoWriter
from moda.representation import FPS

__all__ = ["VideoInfo", "VideoReader", "VideoWriter", "check_streams", "probe", "read_frames"]

log = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_CANNOT_WRITE = (b"Error opening output", *(os.strerror(number).encode() for number in _FULL))
"""What ffmpeg says if it is the file to be written that fails, and not the one that is read."""


def read_frames(
    path: Path | str,
    fps: float | None = FPS,
    size: int | tuple[int, int] | None = None,
    crop: tuple[int, int, int] | None = None,
    threads: int = 1,
) -> Iterator[np.ndarray]:
    """Yield the frames of a video, RGB uint8 (H, W, 3), one at a time.

    fps: resampled by time to this rate (frame i shows the moment i / fps); None = as stored.
    size: scale to this side, or (width, height). crop: (left, top, side) in pixels of the shown
    picture, cut before scaling. threads: of the decoder.
    Raises `MediaError` if there is no video, or not one frame of it can be decoded.
    """
    path = Path(path)
    info = probe(path)
    width, height = info.width, info.height
    filters = time_filters(info, fps)
    if crop is not None:
        filters.append(crop_filter(info, path, *crop))
        width = height = crop[2]
    if size is not None:
        wanted = (size, size) if isinstance(size, int) else size
        if wanted != (width, height):
            shrinking = wanted[0] * wanted[1] < width * height
            filters.append(f"scale={wanted[0]}:{wanted[1]}:flags={'area' if shrinking else 'bicubic'}+accurate_rnd")
        width, height = wanted
    command = [
        *(ffmpeg_program(), *QUIET, "-threads", str(threads), *input_arguments(path), "-map", "0:V:0", "-an"),
        *(("-vf", ",".join(filters)) if filters else ()),
        *("-fps_mode", "passthrough", "-filter_threads", str(threads), "-threads", str(threads)),
        *("-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"),
    ]
    return pipe_frames(command, path, (height, width, 3))


def time_filters(info: VideoInfo, fps: float | None = FPS) -> list[str]:
    """Filters for ffmpeg: frames by time at `fps` (None = as stored), with square pixels."""
    filters = [] if fps is None else [f"fps=fps={fps:.10g}:start_time=0"]
    return filters if info.square_pixels else [*filters, f"scale={info.width}:{info.height}", "setsar=1"]


def crop_filter(info: VideoInfo, path: Path, left: int, top: int, side: int) -> str:
    """A filter for ffmpeg: a square crop; raises `MediaError` if it lies outside the picture."""
    if left < 0 or top < 0 or side < 1 or left + side > info.width or top + side > info.height:
        raise MediaError(f"the crop {(left, top, side)} lies outside the {info.width}x{info.height} picture of {path}")
    return f"crop={side}:{side}:{left}:{top}:exact=1"


def pipe_frames(
    command: list[str], path: Path, shape: tuple[int, ...], strict: bool = False, writes: Path | None = None
) -> Iterator[np.ndarray]:
    """Run ffmpeg and yield what it writes to its output in uint8 arrays of `shape`.

    writes: a file that ffmpeg makes besides. Raises `OutputError` if that cannot be written, `MediaError`
    if there is not one frame, or, with `strict`, if ffmpeg ends with an error; else an error at the end
    (a damaged file) is logged.
    """
    count, length = 0, math.prod(shape)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, bufsize=max(length, 1 << 16),
            restore_signals=False,  # a limit on file size is then an error that ffmpeg can name
        )  # fmt: skip
        assert process.stdout is not None
        try:
            while len(data := process.stdout.read(length)) == length:
                count += 1
                yield np.frombuffer(data, dtype=np.uint8).reshape(shape)
            code = process.wait()
            errors.seek(0)
            said = errors.read()
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.kill()
            process.wait()
    if writes is not None and any(words in said for words in _CANNOT_WRITE):
        raise OutputError(f"cannot write {writes}: {last_line(said, code)}")
    if count == 0:
        raise MediaError(f"not one frame can be read from {path} ({last_line(said, code)})")
    if strict and code != 0:
        raise MediaError(f"{path}: {count} frames read, then ffmpeg said: {last_line(said, code)}")
    if code != 0 or said:
        log.warning("%s: %d frames read, then ffmpeg said: %s", path, count, last_line(said, code))


class VideoReader:
    """Random access by frame index to a constant-rate video as `VideoWriter` makes for the clip store.

    Exact for videos without B-frames and with short groups of pictures (`gop`, `bframes=0`).
    May be sent to another process: it opens the file again there. Use as a context manager or `close()`.
    """

    _AHEAD = 12
    """Frames to decode and drop rather than to seek."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        require_file(self.path, "video")
        self._process = -1
        self._next = 0
        self._capture: cv2.VideoCapture | None = None
        capture = self._open()
        self._frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.fps = float(capture.get(cv2.CAP_PROP_FPS))
        self.width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: int) -> np.ndarray:
        """Frame `index` (not negative), RGB uint8 (H, W, 3); raises `IndexError` beyond the end."""
        if not 0 <= index < self._frames:
            raise IndexError(f"frame {index} of {self._frames} in {self.path}")
        capture = self._open()
        if not self._next <= index <= self._next + self._AHEAD:
            capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            self._next = index
        while self._next < index:
            capture.grab()
            self._next += 1
        good, frame = capture.read()
        if not good:
            self.close()
            raise MediaError(f"frame {index} of {self.path} cannot be decoded")
        self._next += 1
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        """Let go of the file; it opens again on the next access."""
        if self._capture is not None and self._process == os.getpid():
            self._capture.release()
        self._capture = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_capture": None, "_process": -1}

    def _open(self) -> cv2.VideoCapture:
        if self._capture is None or self._process != os.getpid():
            capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
            if not capture.isOpened():
                raise MediaError(f"not a video that can be read: {self.path}")
            self._capture, self._process, self._next = capture, os.getpid(), 0
        return self._capture

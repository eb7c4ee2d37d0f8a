"""Writing MP4 (H.264 + AAC): frames go through a pipe, the file appears whole or not at all."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

import moda
from moda.errors import MediaError, OutputError
from moda.files import temporary_file
from moda.media.ffmpeg import QUIET, ffmpeg_program, last_line, require_file
from moda.media.probe import check_streams
from moda.media.track import track_pieces

_AAC_RATE_HZ = 48_000
COMMENT = f"AI-generated talking portrait, made with MODA {moda.__version__}"
_COLOUR = ("-colorspace", "smpte170m", "-color_primaries", "smpte170m", "-color_trc", "smpte170m")
"""BT.601, and said so: trainables, ffmpeg and cv2 (which knows nothing else) then show the same colours."""


def require_writable(path: Path) -> None:
    """Raise `OutputError` unless a file can be made beside `path` and `path` is not a folder."""
    if path.is_dir():
        raise OutputError(f"wanted a file to write, got a folder: {path}")
    if not path.parent.is_dir():
        raise OutputError(f"no such folder to write into: {path.parent}")
    try:
        with temporary_file(path):
            pass
    except OSError as error:
        raise OutputError(f"cannot write into {path.parent.absolute()}: {error.strerror}") from error


class VideoWriter:
    """Write RGB frames to an MP4: H.264, yuv420p, faststart, with audio if a file of it is given.

    path: where the file appears when the `with` block ends well. size: side, or (width, height),
    even. fps: frames per second. audio: a file whose audio goes beside the frames, padded with
    silence or cut to their length. crf, preset: of libx264. metadata: tags to add or change;
    `comment` says by default that the video is generated. gop, bframes: for clips that are read by
    frame index (`gop=12, bframes=0`). threads: of the encoder, 0 = its own choice.

    Raises `OutputError` with ffmpeg's last line if writing fails; the temporary files (hidden, in
    the same folder) are removed on every exception.
    """

    def __init__(
        self,
        path: Path | str,
        size: int | tuple[int, int],
        fps: float,
        audio: Path | str | None = None,
        *,
        crf: int = 18,
        preset: str = "veryfast",
        metadata: Mapping[str, str] | None = None,
        gop: int | None = None,
        bframes: int | None = None,
        threads: int = 0,
    ) -> None:
        self.path = Path(path)
        self.width, self.height = (size, size) if isinstance(size, int) else size
        if min(self.width, self.height) < 2 or self.width % 2 or self.height % 2:
            raise OutputError(f"a video of {self.width}x{self.height} cannot be encoded: its sides must be even")
        require_writable(self.path)
        self.fps, self.audio, self.frames = fps, None if audio is None else Path(audio), 0
        if self.audio is not None:
            require_file(self.audio, "audio file")
        self._tags = {"comment": COMMENT, **(metadata or {})}
        options = ["-crf", str(crf), "-preset", preset, "-threads", str(threads)]
        options += [] if gop is None else ["-g", str(gop), "-keyint_min", str(gop), "-sc_threshold", "0"]
        options += [] if bframes is None else ["-bf", str(bframes)]
        self._encoding = options
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._files = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._temporary = self._files.enter_context(temporary_file(self.path))
            self._silent = self._files.enter_context(temporary_file(self.path, "video"))
        except OSError as error:
            self._files.close()
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        target = self._temporary if self.audio is None else self._silent
        command = [
            *(ffmpeg_program(), *QUIET, "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-video_size", f"{self.width}x{self.height}", "-framerate", f"{self.fps:.10g}", "-i", "pipe:0"),
            *("-vf", "scale=out_color_matrix=bt601:out_range=tv:flags=bicubic+accurate_rnd,format=yuv420p"),
            *("-c:v", "libx264", *self._encoding, *_COLOUR, "-color_range", "tv"),
            *(self._finish() if self.audio is None else ()),
            *("-f", "mp4", f"file:{target.absolute()}"),
        ]
        self._errors = tempfile.TemporaryFile()
        try:
            with _signals_held():
                self._process = _start([arg for arg in command if arg != "-nostdin"], self._errors)
        except BaseException:
            self._clean_up()
            raise
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append one RGB uint8 frame (height, width, 3)."""
        if frame.shape != (self.height, self.width, 3) or frame.dtype != np.uint8:
            wanted = (self.height, self.width, 3)
            raise ValueError(f"got a frame {frame.shape} {frame.dtype}, wanted {wanted} uint8")
        assert self._process is not None and self._process.stdin is not None, "use VideoWriter in a `with` block"
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
        except OSError as error:
            raise self._failure() from error
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._complete()
        finally:
            self._clean_up()

    def _complete(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError as broken:
            raise self._failure() from broken
        if self._process.wait() != 0:
            raise self._failure()
        if self.frames == 0:
            raise OutputError(f"no frames were written, so there is no video: {self.path}")
        if self.audio is not None:
            self._add_audio(self.audio)
        try:
            check_streams(self._temporary, audio=self.audio is not None)
            os.replace(self._temporary, self.path)
        except MediaError as failed:
            raise OutputError(f"the written video is not whole: {failed}") from failed
        except OSError as failed:
            raise OutputError(f"cannot write {self.path}: {failed.strerror}") from failed

    def _add_audio(self, audio: Path) -> None:
        """Copy the video and encode the audio to exactly its length."""
        wanted = math.ceil(self.frames / self.fps * _AAC_RATE_HZ)
        pieces = track_pieces(audio, count=wanted, rate=_AAC_RATE_HZ)
        first = next(pieces, np.zeros((1, 0), np.float32))
        channels = len(first)
        command = [
            *(ffmpeg_program(), *QUIET, "-y", "-i", f"file:{self._silent.absolute()}"),
            *("-f", "f32le", "-ar", str(_AAC_RATE_HZ), "-ac", str(channels), "-i", "pipe:0"),
            *("-map", "0:v:0", "-map", "1:a:0", "-map_metadata", "-1", "-c:v", "copy"),
            *("-c:a", "aac", "-b:a", "160k", *self._finish()),
            *("-f", "mp4", f"file:{self._temporary.absolute()}"),
        ]
        assert self._errors is not None
        with _signals_held():
            self._process = _start([arg for arg in command if arg != "-nostdin"], self._errors)
        assert self._process.stdin is not None
        written = 0
        try:
            for piece in chain([first], pieces):
                if len(piece) != channels:
                    piece = np.broadcast_to(piece.mean(axis=0, keepdims=True), (channels, piece.shape[1]))
                self._process.stdin.write(np.clip(piece.T, -1.0, 1.0).astype("<f4").tobytes())
                written += piece.shape[1]
            self._process.stdin.write(bytes(4 * channels * max(0, wanted - written)))
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says why
        if self._process.wait() != 0:
            raise self._failure(f" with the audio of {audio}")

    def _finish(self) -> list[str]:
        tags = [part for key, value in self._tags.items() for part in ("-metadata", f"{key}={value}")]
        return [*tags, "-movflags", "+faststart"]

    def _failure(self, what: str = "") -> OutputError:
        assert self._process is not None and self._errors is not None
        _close(self._process)
        code = self._process.wait()
        self._errors.seek(0)
        return OutputError(f"cannot write {self.path}{what}: {last_line(self._errors.read(), code)}")

    def _clean_up(self) -> None:
        """End ffmpeg and remove what is not finished; a second Ctrl-C waits for it."""
        with _signals_held():
            if self._process is not None:
                self._process.kill()
                _close(self._process)
                self._process.wait()
            self._files.close()
            if self._errors is not None:
                self._errors.close()


def _start(command: list[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start ffmpeg in a session of its own, so that Ctrl-C reaches this program alone, which decides
    what becomes of the file. Signals ignored here stay ignored: a limit on file size is then an
    error that ffmpeg can name.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
        restore_signals=False,
    )


def _close(process: subprocess.Popen[bytes]) -> None:
    try:
        if process.stdin is not None:
            process.stdin.close()
    except OSError:
        pass  # what was still buffered cannot be written: it is gone, and that was reported


@contextmanager
def _signals_held() -> Iterator[None]:
    """Ctrl-C and kill wait until the block ends: a process that was started is then known, so it can be ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not None]
    before = {number: signal.signal(number, lambda got, frame: held.append(got)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for got in dict.fromkeys(held):
            signal.raise_signal(got)

"""Writing MP4 (H.264 + AAC): frames and audio are encoded side by side, the file appears whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import ThreadType
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

import moda
from moda.errors import MediaError, OutputError
from moda.files import replacing, temporary_file
from moda.media.conversion import FOR_VIDEO, Conversion, Picture, scaling
from moda.media.marking import mark_generated
from moda.media.probe import check_streams
from moda.media.track import track_pieces
from moda.reading import require_file

_AAC_RATE_HZ, _AAC_BITS_A_SECOND = 48_000, 160_000
COMMENT = f"AI-generated talking portrait, made with MODA {moda.__version__}"
_BLOCK_PX, _BLOCKS_AT_ONCE = 16, 8
"""x264 works out how much later frames need a block for so many blocks of a row at once. In a row of another number it
reads memory that nobody wrote, and the same frames give another file each time (`mbtree`, with B-frames): there it does
without, and files are two to three times as large, and better.
"""
_SMPTE170M, _LIMITED_RANGE = 6, 1
"""BT.601, as the file says: video players, ffmpeg and cv2 (which assumes it) then show the same colours."""


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


class H264(NamedTuple):
    """Settings of libx264. gop: frames from one key frame to the next, at the most. threads: 0 = its own choice."""

    crf: int = 18
    preset: str = "veryfast"
    gop: int | None = None
    bframes: int | None = None
    threads: int = 0


class Mp4File:
    """An MP4 while it is written. Use as a context manager: it is whole when the block ends well.

    size: width and height. audio_channels: 1 or 2, 0 without audio. Raises `OSError` or `FFmpegError`.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: Fraction, coding: H264, tags: Mapping[str, str],
        audio_channels: int = 0,
    ) -> None:  # fmt: skip
        self._container = av.open(str(path.absolute()), "w", format="mp4", options={"movflags": "faststart"})
        self._container.metadata.update(tags)
        options = {"crf": str(coding.crf), "preset": coding.preset}
        if coding.gop is not None:
            options |= {"g": str(coding.gop), "keyint_min": str(coding.gop), "sc_threshold": "0"}
        if coding.bframes is not None:
            options["bf"] = str(coding.bframes)
        if coding.bframes != 0 and -(-size[0] // _BLOCK_PX) % _BLOCKS_AT_ONCE:
            options["x264-params"] = "mbtree=0"
        stream = self._container.add_stream("libx264", rate=fps, options=options)
        assert isinstance(stream, VideoStream)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        context = stream.codec_context
        context.thread_count, context.thread_type = coding.threads, ThreadType.FRAME  # slices cost quality
        context.colorspace = context.color_primaries = context.color_trc = _SMPTE170M
        context.color_range = _LIMITED_RANGE
        self._video, self._fps, self._layout = stream, fps, "mono" if audio_channels == 1 else "stereo"
        self._audio: AudioStream | None = None
        if audio_channels:
            self._audio = self._container.add_stream("aac", rate=_AAC_RATE_HZ, layout=self._layout)
            self._audio.bit_rate = _AAC_BITS_A_SECOND
        self.frames = self.samples = 0

    def write(self, frame: VideoFrame) -> None:
        """Append a yuv420p frame."""
        frame.pts, frame.time_base = self.frames, 1 / self._fps
        frame.pict_type = PictureType.NONE  # a decoded one's groups of pictures are not this file's
        self.frames += 1
        self._container.mux(self._video.encode(frame))

    def write_audio(self, samples: np.ndarray) -> None:
        """Append float32 samples (channels, N) at 48 kHz."""
        assert self._audio is not None
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = _AAC_RATE_HZ, self.samples, Fraction(1, _AAC_RATE_HZ)
        self.samples += samples.shape[1]
        self._container.mux(self._audio.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                for stream in (self._video, self._audio):
                    if stream is not None:
                        self._container.mux(stream.encode(None))
        finally:
            self._container.close()


class VideoWriter:
    """Write RGB frames to an MP4: H.264, yuv420p, faststart, with audio if a file of it is given.

    path: where the file appears when the `with` block ends well. size: side, or (width, height),
    even. fps: frames per second. audio: a file whose audio goes beside the frames, padded with
    silence or cut to their length. crf, preset: of libx264. metadata: tags to add or change;
    `comment` says by default that the video is generated, and then it is marked so for machines
    (`media.marking`). gop, bframes: for clips that are read by frame index (`gop=12, bframes=0`).
    threads: of the encoder, 0 = its own choice.

    Raises `OutputError` with the reason if writing fails, `MediaError` for audio that cannot be read; the temporary
    file (hidden, in the same folder) is removed on every exception.
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
        self.width, self.height = size = (size, size) if isinstance(size, int) else size
        if min(size) < 2 or self.width % 2 or self.height % 2:
            raise OutputError(f"a video of {self.width}x{self.height} cannot be encoded: its sides must be even")
        require_writable(self.path)
        self.audio, self.frames = None if audio is None else Path(audio), 0
        if self.audio is not None:
            require_file(self.audio, "audio file")
        self._fps = Fraction(fps).limit_denominator(100_000)
        self._tags = {"comment": COMMENT, **(metadata or {})}
        self._coding = H264(crf, preset, gop, bframes, threads)
        self._convert = Conversion(
            Picture(size, None, size, "yuv420p", scaling(size, size) + FOR_VIDEO), 1.0, self.path
        )
        self._file: Mp4File | None = None
        self._audio: _AudioTrack | None = None
        self._block: AbstractContextManager[None] = self._writing()

    def __enter__(self) -> Self:
        self._block.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._block.__exit__(*error)

    def write(self, frame: np.ndarray) -> None:
        """Append one RGB uint8 frame (height, width, 3)."""
        if frame.shape != (self.height, self.width, 3) or frame.dtype != np.uint8:
            wanted = (self.height, self.width, 3)
            raise ValueError(f"got a frame {frame.shape} {frame.dtype}, wanted {wanted} uint8")
        assert self._file is not None, "use VideoWriter in a `with` block"
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        try:
            self._file.write(self._convert(picture))
            self.frames += 1
            if self._audio is not None:
                self._file.write_audio(self._audio.until(math.ceil(self.frames / self._fps * _AAC_RATE_HZ)))
        except (OSError, FFmpegError) as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with replacing(self.path) as temporary:
                self._audio = None if self.audio is None else _AudioTrack(self.audio)
                channels = 0 if self._audio is None else self._audio.channels
                size = self.width, self.height
                with Mp4File(temporary, size, self._fps, self._coding, self._tags, channels) as self._file:
                    yield
                    if self.frames == 0:
                        raise OutputError(f"no frames were written, so there is no video: {self.path}")
                if self._tags["comment"] == COMMENT:
                    mark_generated(temporary)
                self._check(temporary)
        except FFmpegError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def _check(self, written: Path) -> None:
        try:
            check_streams(written, audio=self.audio is not None)
        except MediaError as error:
            raise OutputError(f"the written video is not whole: {error}") from error


class _AudioTrack:
    """The audio of a file as one track that never ends: silence follows it. channels: those of its start."""

    def __init__(self, path: Path) -> None:
        pieces = track_pieces(path, rate=_AAC_RATE_HZ)
        first = next(pieces, np.zeros((1, 0), np.float32))
        self.channels, self._at, self._held = len(first), 0, np.zeros((len(first), 0), np.float32)
        self._pieces = chain([first], pieces)

    def until(self, stop: int) -> np.ndarray:
        """The samples that follow up to number `stop` of the track: (channels, N) float32, -1 to 1."""
        count = stop - self._at
        while self._held.shape[1] < count:
            piece = next(self._pieces, None)
            if piece is None:
                piece = np.zeros((self.channels, count), np.float32)
            elif len(piece) != self.channels:
                piece = np.broadcast_to(piece.mean(axis=0, keepdims=True), (self.channels, piece.shape[1]))
            self._held = np.concatenate([self._held, np.clip(piece, -1.0, 1.0)], axis=1)
        taken, self._held, self._at = self._held[:, :count], self._held[:, count:], stop
        return taken

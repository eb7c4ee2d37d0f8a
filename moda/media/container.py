"""Opening audio and video files: which formats, how large, and no access to any other file.

FFmpeg's libraries (PyAV) read them through a file that Python has opened, and cannot open another one: whatever a
playlist, a manifest or a reference inside a file names is refused.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from moda.errors import MediaError
from moda.media.joined import Part
from moda.reading import require_file

KINDS = (
    "3g2,3gp,aac,ac3,aiff,amr,ape,apng,asf,au,av1,avi,caf,dts,dv,eac3,flac,flv,gif,h261,h263,h264,hevc,ivf,m4a,m4v,"
    "matroska,mj2,mjpeg,mov,mp3,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,tak,truehd,tta,vc1,voc,vvc,w64,wav,"
    "webm,wtv,wv,xwma,yuv4mpegpipe"
)
"""Demuxers that hold the media themselves; none that names other files (DASH, HLS, concat, image2, SDP ...)."""
MAX_PIXELS = 8192 * 4352
"""Of a video's picture: 8K, either way round."""
MAX_SECONDS = 48 * 3600.0
"""Of a file, by its header."""
SAMPLE_RATES_HZ = (2_000, 768_000)
MAX_CHANNELS = 64
_WITHOUT_TIMES = {"aac", "ac3", "aiff", "amr", "au", "caf", "dts", "eac3", "flac", "mp3", "tta", "w64", "wav", "wv"}
"""Audio alone, one packet after the other: the library computes their times from the first sample rate."""

log = logging.getLogger(__name__)
av.logging.set_level(None)


class _File:
    """The part of an open file between two positions, as the libraries read it."""

    def __init__(self, path: Path, part: Part) -> None:
        self._file = path.open("rb")
        self._begin, self._end, self._patches = part.begin, part.end, part.patches
        suffix = "".join(letter for letter in path.suffix if letter.isascii() and letter.isalnum())
        self.name = f"media.{suffix}" if suffix else "media"  # a hint to its kind; the name itself may be any
        self._file.seek(self._begin)

    def read(self, count: int) -> bytes:
        at = self._file.tell()
        got = self._file.read(max(0, min(count, self._end - at)))
        for where, right in self._patches:
            low, high = max(where, at), min(where + len(right), at + len(got))
            if low < high:
                got = got[: low - at] + right[low - where : high - where] + got[high - at :]
        return got

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._begin, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}[whence]
        return self._file.seek(max(self._begin, base + offset)) - self._begin

    def tell(self) -> int:
        return self._file.tell() - self._begin

    def close(self) -> None:
        self._file.close()


def _refuse_other_files(url: str, flags: int, options: dict[str, str]) -> Any:
    raise PermissionError("a media file may not open another file")


@contextmanager
def open_container(path: Path, what: str, part: Part | None = None) -> Iterator[InputContainer]:
    """Open a file, or a part of it (`audio_parts`). what: "video" or "audio file", for messages.

    Raises `MediaError` for a file that is missing, empty, of no kind among `KINDS`, or whose header exceeds
    the limits above.
    """
    require_file(path, what)
    if part is None:
        part = Part(0, path.stat().st_size)
    options = {"format_whitelist": KINDS, "protocol_whitelist": "none", "max_pixels": str(MAX_PIXELS)}
    file = _File(path, part)
    try:
        try:
            container = av.open(
                file, options=options | part.options, metadata_errors="replace", io_open=_refuse_other_files
            )
        except (FFmpegError, ValueError, OSError) as error:
            raise MediaError(f"not {_article(what)} that can be read: {path} ({reason(error)})") from error
        assert isinstance(container, InputContainer)
        with container:
            _check_claims(container, path)
            yield container
    finally:
        file.close()


def _article(what: str) -> str:
    return "an audio recording" if what.startswith("audio") else f"a {what}"


def reason(error: Exception) -> str:
    """Why the libraries could not open a file or decode a part of it, in a few words."""
    if isinstance(error, av.error.ArgumentError):
        megapixels = f"or a picture of more than {MAX_PIXELS / 1e6:.0f} megapixels"
        return f"not a kind of media file that is read here, {megapixels}"
    return str(getattr(error, "strerror", None) or error)


def tracks(container: InputContainer, kind: str) -> list[AudioStream | VideoStream]:
    """The streams of a kind ("audio" or "video") that can be decoded; a cover picture is no video."""
    return [
        stream
        for stream in container.streams
        if isinstance(stream, AudioStream if kind == "audio" else VideoStream)
        and stream.codec_context is not None
        and not (kind == "video" and stream.disposition & av.stream.Disposition.attached_pic)
    ]


def main_track(container: InputContainer, kind: str) -> AudioStream | VideoStream | None:
    """The stream that is marked as default, else the first; None if there is none."""
    found = tracks(container, kind)
    marked = [stream for stream in found if stream.disposition & av.stream.Disposition.default]
    return next(iter(marked or found), None)


def start_of(container: InputContainer) -> Fraction:
    """The second at which the first of audio and picture starts: time 0 of the file."""
    starts = [
        stream.start_time * stream.time_base
        for kind in ("audio", "video")
        for stream in tracks(container, kind)
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=Fraction(0))


def has_times(container: InputContainer) -> bool:
    """Whether the file stores times of its samples, not only their order."""
    return not _WITHOUT_TIMES & set(container.format.name.split(","))


def seconds_of(container: InputContainer) -> float | None:
    """The length by the file's header, or estimated from its bit rate; None if unknown."""
    return None if container.duration is None else container.duration / av.time_base


def check_audio(rate: int, channels: int, path: Path) -> None:
    """Raise `MediaError` for a sample rate or a number of channels that no recording has."""
    low, high = SAMPLE_RATES_HZ
    if not low <= rate <= high:
        raise MediaError(f"the audio has a sample rate of {rate} Hz, wanted {low} to {high}: {path}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise MediaError(f"the audio has {channels} channels, wanted 1 to {MAX_CHANNELS}: {path}")


def check_picture(width: int, height: int, path: Path) -> None:
    """Raise `MediaError` for a video picture that is too large to decode."""
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"the video's picture is {width}x{height}, wanted at most {MAX_PIXELS / 1e6:.0f} megapixels: {path}; "
            "scale it down"
        )


def _check_claims(container: InputContainer, path: Path) -> None:
    for stream in (*tracks(container, "audio"), *tracks(container, "video")):
        if isinstance(stream, AudioStream):
            check_audio(stream.codec_context.sample_rate, stream.codec_context.channels, path)
        if isinstance(stream, VideoStream):
            check_picture(stream.codec_context.width, stream.codec_context.height, path)
            stream.codec_context.options = {
                "max_pixels": str(MAX_PIXELS)
            }  # a picture may be larger than the header has it
    seconds = seconds_of(container)
    if seconds is not None and seconds > MAX_SECONDS:
        raise MediaError(f"the file lasts {seconds / 3600:,.0f} hours by its header, wanted at most 48: {path}")

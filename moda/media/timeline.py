"""The decoded frames of a file with their times: one clock for audio and picture, also where recordings are joined.

Filters with a state (resampling by time, padding) start anew wherever a stream changes its size, rate or colours. So
times are computed here, from each frame's own, and filters get single frames only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from moda.errors import MediaError
from moda.media.container import has_times, main_track, open_container, reason, seconds_of, start_of, tracks
from moda.media.joined import audio_parts

_BACK_SECONDS, _FAR_SECONDS = 0.2, 10.0
"""Times that fall back by more, or leap ahead by more in a file that may be joined, belong to another recording."""
_JOINABLE = {"mpegts", "mpeg", "flv", "ogg", "avi", "mpegvideo"}
"""Kinds of files that are joined by appending one to the other, so that the clock starts anew in the middle."""
_WITH_EXACT_LENGTH = {"flac", "mov", "matroska", "wav"}
_SHORT_SECONDS = 1.0
"""A file of these kinds that ends so much before its header's length is cut off."""

_Track = AudioStream | VideoStream

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame. start: seconds since the file's start, None if the file has no times. seconds: 0 = unknown."""

    start: Fraction | None
    seconds: Fraction
    frame: AudioFrame | VideoFrame


def decoded(path: Path, kind: str, what: str, *, start: float = 0.0, quiet: bool = False) -> Iterator[TimedFrame]:
    """Yield the frames of a file's main audio or video track in the order of their times.

    kind: "audio" or "video". what: "audio file" or "video", for messages. start: frames before this second may be
    left out, those after it are all there. quiet: which track was taken is not logged.
    A damaged frame is left out; that is logged, and so is a file that ends before its header's length.
    Raises `MediaError` for a file that cannot be opened, has no such track, or not one frame of it can be decoded.
    """
    clock, claimed, reached = Fraction(0), 0.0, 0.0
    count = bad = 0
    why = ""
    parts = audio_parts(path) if path.is_file() else []
    sought = start > 0 and len(parts) == 1 and not is_joined(path)
    for number, part in enumerate(parts or [None]):
        with open_container(path, what, part) as container:
            stream = main_track(container, kind)
            if stream is None:
                if number:
                    continue
                raise MediaError(_missing(container, kind, path))
            if number == 0 and not quiet:
                _log_choice(container, stream, kind, path)
            timeline = _Timeline(container, stream, clock, path)
            stream.codec_context.thread_count = 1
            stream.codec_context.thread_type = "AUTO"
            sought = sought and has_times(container)
            if sought:
                container.seek(int((start + float(start_of(container))) * 1_000_000), backward=True)
            for packet in timeline.packets():
                try:
                    frames = stream.codec_context.decode(packet if packet.size else None)
                except (FFmpegError, ValueError) as error:
                    bad, why = bad + 1, reason(error)
                    continue
                for frame in frames:
                    count += 1
                    begun = timeline.moment(frame)
                    if sought and count == 1 and (begun is None or begun > start):
                        break
                    yield TimedFrame(begun, timeline.seconds(frame.duration), frame)
                    reached += frame.samples / frame.sample_rate if isinstance(frame, AudioFrame) else 0.0
                else:
                    continue
                sought, count = False, 0
                yield from decoded(path, kind, what, quiet=True)  # its index is wrong
                return
            clock, why = timeline.end, timeline.stopped or why
            claimed += _claim(container)
            reached = max(reached, float(clock))
    if count == 0 and start <= 0 and (kind == "video" or why):
        raise MediaError(f"not one frame can be read from {path} ({why or 'it may be cut off'})")
    if bad or why:
        log.warning("%s: %d frames read, %d parts damaged: %s", path, count, bad, why)
    elif claimed > reached + _SHORT_SECONDS:
        log.warning("%s: %.1f s by its header, %.1f s could be read: it may be cut off", path, claimed, reached)


def length_of(path: Path) -> float:
    """Seconds from the file's start to the end of the last of audio and picture; 0 if unknown.

    By its header, or, where files are joined by appending, by its packets.
    """
    with open_container(path, "video") as container:
        seconds = seconds_of(container)
        if seconds is not None and not _kinds(container) & _JOINABLE:
            return seconds
    return _scan(path, path.stat().st_size, path.stat().st_mtime_ns)[1]


@lru_cache(maxsize=64)
def _scan(path: Path, size: int, changed: int) -> tuple[bool, float]:
    """Is the file joined from several recordings, and how long is it? Reads all its packets, decodes none."""
    with open_container(path, "video") as container:
        stream = main_track(container, "video") or main_track(container, "audio")
        if stream is None:
            return False, 0.0
        timeline = _Timeline(container, stream, Fraction(0), path)
        for _ in timeline.packets():
            pass
        return timeline.joins > 0, float(timeline.end)


def is_joined(path: Path) -> bool:
    """Does the clock of a file start anew in its middle, so that a moment cannot be sought?"""
    with open_container(path, "video") as container:
        if not _kinds(container) & _JOINABLE:
            return False
    return _scan(path, path.stat().st_size, path.stat().st_mtime_ns)[0]


def _kinds(container: InputContainer) -> set[str]:
    return set(container.format.name.split(","))


def _claim(container: InputContainer) -> float:
    """Seconds of the file by its header; 0 for kinds whose header holds an estimate."""
    seconds = seconds_of(container)
    return seconds if seconds is not None and _kinds(container) & _WITH_EXACT_LENGTH else 0.0


def _missing(container: InputContainer, kind: str, path: Path) -> str:
    undecodable = [stream for stream in container.streams if stream.type == kind and stream.codec_context is None]
    if undecodable:
        return f"the {kind} of {path} is in a format that cannot be decoded here"
    if kind == "audio":
        return f"no audio in {path}; wanted an audio file, or a video with audio"
    return f"no picture in {path}; wanted a video"


def _log_choice(container: InputContainer, stream: _Track, kind: str, path: Path) -> None:
    found = tracks(container, kind)
    if len(found) > 1:
        name = stream.metadata.get("title") or stream.language
        label = f" ({name})" if name and name != "und" else ""
        log.warning(
            "%s has %d %s tracks: took number %d%s, which is %s", path, len(found), kind, found.index(stream) + 1,
            label, "marked as default" if stream.disposition & 1 else "the first",
        )  # fmt: skip


class _Timeline:
    """Packets with the times that the whole file has, even if it was joined from several recordings."""

    def __init__(self, container: InputContainer, stream: _Track, clock: Fraction, path: Path) -> None:
        self._container, self._stream, self._path = container, stream, path
        self._joinable = bool(_kinds(container) & _JOINABLE)
        self._timed = has_times(container)
        self._newest = clock - start_of(container)
        self._shift: dict[int, Fraction] = {}
        self._due: dict[int, float] = {}
        self.end = clock
        self.joins = 0
        self.stopped = ""

    def packets(self) -> Iterator[Packet]:
        """The packets of the wanted track, and the empty one that ends it."""
        watched = [self._stream]
        if self._joinable:
            watched = tracks(self._container, "audio") + tracks(self._container, "video")
        for stream in self._container.streams:
            if stream not in watched:
                stream.discard = Discard.all
        try:
            for packet in self._container.demux(watched):
                if self._timed:
                    self.joins += self._place(packet)
                if packet.stream is self._stream:
                    yield packet
        except (FFmpegError, OSError) as error:
            self.stopped = reason(error)
            yield Packet()
        if self.joins:
            log.info("%s was joined from %d recordings, whose clocks each start anew", self._path, self.joins + 1)

    def moment(self, frame: AudioFrame | VideoFrame) -> Fraction | None:
        """The time of a frame, seconds."""
        if not self._timed:
            return None
        ticks = frame.pts if frame.pts is not None else frame.dts
        return None if ticks is None else self.seconds(ticks)

    def seconds(self, ticks: int | None) -> Fraction:
        """Ticks of the track's clock in seconds; 0 for None."""
        return Fraction(0) if ticks is None else ticks * (self._stream.time_base or Fraction(1))

    def _place(self, packet: Packet) -> int:
        """Move a packet's times to the whole file's clock; 1 if a new recording begins with it."""
        ticks = packet.dts if packet.dts is not None else packet.pts
        if ticks is None:
            return 0
        index, base = packet.stream.index, packet.stream.time_base
        shift = self._shift.setdefault(index, self._newest)
        time, due = float(ticks * base), self._due.get(index)
        begun = 0
        if due is not None and self._is_jump(time + float(shift) - due):
            if shift == self._newest or self._is_jump(time + float(self._newest) - due):
                first = packet.pts if packet.pts is not None else ticks
                self._newest, begun = self.end - first * base, 1
            shift = self._shift[index] = self._newest
        moved = round(shift / base)
        length = (packet.duration or 0) * base
        if packet.pts is not None:
            packet.pts += moved
            self.end = max(self.end, packet.pts * base + length)
        if packet.dts is not None:
            packet.dts += moved
        self._due[index] = time + float(shift) + float(length)
        return begun

    def _is_jump(self, jump: float) -> bool:
        return jump < -_BACK_SECONDS - 1e-9 or (self._joinable and jump > _FAR_SECONDS)

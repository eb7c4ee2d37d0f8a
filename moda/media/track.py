"""The audio of a file as one track at 16 kHz: resampled piece by piece, gaps filled, two channels at most."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph

from moda.errors import MediaError
from moda.media.container import check_audio
from moda.media.timeline import TimedFrame, decoded
from moda.representation import SAMPLE_RATE

STEP_SECONDS = 0.04
"""A time that is off by more than a frame of video is a gap, or audio that comes twice; less is rounding."""
JOIN_SECONDS = 0.005
"""The same, where the audio changes its kind: another recording begins."""
MAX_SECONDS = 4 * 3600.0
"""Of audio that is read at once: it takes 0.5 GB an hour."""
LEAD_SECONDS = 5.0
"""A start is sought so much before it, for decoders to settle; starts before a minute are not sought."""
SEEK_FROM_SECONDS = 60
_GRID_SAMPLES = 0.1
_UNKNOWN_LAYOUT = re.compile(r"\d+ channels")
_RESAMPLING = "filter_size=64:cutoff=0.95:lfe_mix_level=1:rematrix_maxval=1"
"""A sharp filter; the channel for low frequencies counts as any other, as the speech may be on any."""


def read_track(path: Path, start: int = 0, count: int | None = None) -> np.ndarray:
    """Samples [start, start + count) of a file's main audio track, all of it by default.

    Returns float32 (1, N) or (2, N) at `SAMPLE_RATE` Hz, fewer at the track's end; time 0 is the file's start.
    Raises `MediaError` as `decoded` does, and for audio that is longer than `MAX_SECONDS`.
    """
    pieces = list(track_pieces(path, start, count))
    channels = max((len(piece) for piece in pieces), default=1)
    whole = np.zeros((channels, sum(piece.shape[1] for piece in pieces)), np.float32)
    at = 0
    for piece in pieces:
        whole[:, at : at + piece.shape[1]] = piece
        at += piece.shape[1]
    return whole


def track_pieces(path: Path, start: int = 0, count: int | None = None, rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """Yield the same piece by piece, each float32 (1, n) or (2, n), at `rate` Hz."""
    track = _Track(start, None if count is None else start + count, rate, path)
    sought = start / rate - LEAD_SECONDS if start > SEEK_FROM_SECONDS * rate else 0.0
    on_grid = not sought
    for moment in decoded(path, "audio", "audio file", start=sought):
        on_grid = on_grid or moment.start is None or _on_grid(moment.start, rate, sought + LEAD_SECONDS / 2)
        if on_grid:
            track.add(moment)
            yield from track.taken()
        if track.full:
            break
    track.end()
    yield from track.taken(last=True)


def _on_grid(start: Fraction, rate: int, latest: float) -> bool:
    """Does a frame start with a sample of the result, so that a part is resampled as the whole would be?

    From `latest` on, any will do.
    """
    place = start * rate
    return abs(place - round(place)) < _GRID_SAMPLES or start >= latest


class _Track:
    """Pieces of audio at one rate, one behind the other; only those of the wanted stretch are stored."""

    def __init__(self, start: int, stop: int | None, rate: int, path: Path) -> None:
        self._start, self._stop, self._rate, self._path = start, stop, rate, path
        self._pieces: list[np.ndarray] = []
        self._at = 0
        self._drop = 0
        self._due: Fraction | None = None
        self._padding = 0.0
        """Seconds at the end of the last frame that only fill it up."""
        self._resampler: _Resampler | None = None

    @property
    def full(self) -> bool:
        return self._stop is not None and self._at >= self._stop

    def add(self, timed: TimedFrame) -> None:
        """Append a frame, at its time."""
        frame = timed.frame
        assert isinstance(frame, AudioFrame)
        check_audio(frame.sample_rate, frame.layout.nb_channels, self._path)
        first = self._due is None
        self._due = self._due or Fraction(0)
        length = Fraction(frame.samples, frame.sample_rate)
        exact = (timed.seconds * frame.sample_rate).denominator == 1 and 0 < timed.seconds < length
        self._padding = float(length - timed.seconds) if exact else 0.0
        changed = self._resampler is None or not self._resampler.fits(frame)
        tolerated = 0.0 if first else JOIN_SECONDS if changed else STEP_SECONDS
        if timed.start is not None and abs(timed.start - self._due) > tolerated:
            self._jump(timed.start)
        if self._resampler is None or not self._resampler.fits(frame):
            self.finish()
            self._resampler = _Resampler(frame, self._rate)
        for piece in self._resampler.push(frame):
            self._append(piece)
        self._due += length

    def finish(self) -> None:
        """Append what the resampler still holds."""
        if self._resampler is not None:
            for piece in self._resampler.push(None):
                self._append(piece)
            self._resampler = None

    def end(self) -> None:
        """Finish, and take off what only fills up the last frame."""
        self.finish()
        if not self.full and self._pieces:
            piece = self._pieces[-1]
            self._pieces[-1] = piece[:, : max(0, piece.shape[1] - round(self._padding * self._rate))]

    def taken(self, last: bool = False) -> list[np.ndarray]:
        """Hand over the pieces so far, and the last one, too, if it is whole."""
        stop = len(self._pieces) if last else -1
        taken, self._pieces = self._pieces[:stop], self._pieces[stop:]
        return taken

    def _jump(self, start: Fraction) -> None:
        """Go on at another time: silence fills a gap, and of audio that comes twice the second is dropped."""
        self.finish()
        target = round(start * self._rate)
        self._drop = max(0, self._at - target)
        if target > self._at:
            low, high = max(self._at, self._start), target if self._stop is None else min(target, self._stop)
            self._check_length(high)
            if high > low:
                self._pieces.append(np.zeros((1, high - low), np.float32))
            self._at = target
        self._due = start

    def _append(self, piece: np.ndarray) -> None:
        dropped = min(self._drop, piece.shape[1])
        self._drop -= dropped
        piece = piece[:, dropped:]
        low, high = max(self._start - self._at, 0), piece.shape[1]
        if self._stop is not None:
            high = min(high, self._stop - self._at)
        self._at += piece.shape[1]
        self._check_length(self._at)
        if high > low:
            self._pieces.append(piece[:, low:high].copy())

    def _check_length(self, stop: int) -> None:
        if stop - self._start > MAX_SECONDS * self._rate:
            raise MediaError(f"the audio lasts more than {MAX_SECONDS / 3600:g} hours: {self._path}; cut it into parts")


class _Resampler:
    """Frames of one rate, format and layout become float32 (1 or 2, N) at `rate` Hz."""

    def __init__(self, frame: AudioFrame, rate: int) -> None:
        self._key = self._of(frame)
        layout = frame.layout.name
        unknown = _UNKNOWN_LAYOUT.fullmatch(layout) is not None
        self._mean = unknown and frame.layout.nb_channels > 2
        wanted = "" if unknown else f":channel_layouts={'mono' if frame.layout.nb_channels == 1 else 'stereo'}"
        graph = Graph()
        source = graph.add(
            "abuffer",
            sample_rate=str(frame.sample_rate), sample_fmt=frame.format.name, time_base=f"1/{frame.sample_rate}",
            channel_layout=f"{frame.layout.nb_channels}c" if unknown else layout,
        )  # fmt: skip
        chain = [
            source,
            graph.add("aresample", f"{rate}:{_RESAMPLING}"),
            graph.add("aformat", f"sample_fmts=fltp:sample_rates={rate}{wanted}"),
            graph.add("abuffersink"),
        ]
        for one, other in pairwise(chain):
            one.link_to(other)
        graph.configure()
        self._graph = graph
        self._samples = 0

    @staticmethod
    def _of(frame: AudioFrame) -> tuple[int, str, str]:
        return frame.sample_rate, frame.format.name, frame.layout.name

    def fits(self, frame: AudioFrame) -> bool:
        """Is the frame of the kind that this resampler was made for?"""
        return self._of(frame) == self._key

    def push(self, frame: AudioFrame | None) -> Iterator[np.ndarray]:
        """Yield what is ready after a frame, or, after None, all the rest."""
        if frame is not None:
            frame.pts, frame.time_base = self._samples, Fraction(1, frame.sample_rate)
            self._samples += frame.samples
        self._graph.push(frame)
        while True:
            try:
                samples = self._graph.pull().to_ndarray()
            except (BlockingIOError, EOFError):
                return
            yield samples.mean(axis=0, keepdims=True) if self._mean else samples

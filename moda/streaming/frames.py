"""Sound that arrives in pieces to frames: motion, landmarks and rendering, with a thread a core while a CPU renders."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any

import numpy as np

from moda.errors import DataError, MediaError
from moda.media.audio import MIN_SECONDS
from moda.media.incoming import IncomingAudio
from moda.networks import RenderSession
from moda.nn.inference import OneThreadEach
from moda.representation import SAMPLE_RATE, Motion
from moda.streaming.motion import MotionStream

Landmarks = Callable[[Motion, int], tuple[np.ndarray, np.ndarray]]
"""A piece of motion and the number of its first frame -> face (T, 478, 3) and torso (T, 18, 3)."""


class FrameStream:
    """Sound goes in by `push`, in any pieces, and the frames that are known by it come out; `finish` gives the rest.

    The frames are those of the whole sound, bit by bit on a CPU. Closed by `finish`, `close` or the end of a `with`
    block; no thread is left then. For one thread at a time.
    """

    def __init__(
        self,
        motion: MotionStream,
        landmarks: Landmarks,
        session: RenderSession,
        *,
        sample_rate: int,
        batch: int,
        threads: int,
    ) -> None:
        """threads: that render, each a batch of its own; 0 renders where it is asked, for a GPU."""
        self._motion, self._landmarks, self._session = motion, landmarks, session
        self._incoming = IncomingAudio(sample_rate)
        self._batch, self._threads = batch, threads
        self._pool = OneThreadEach(threads) if threads else None
        self._samples = 0
        self._open = True
        self.frames = 0
        """Frames that are known, also those that were not rendered."""

    @property
    def delay(self) -> float:
        """Seconds by which a frame may be behind its sound, beside the time that computing takes."""
        return self._motion.delay

    @property
    def seconds(self) -> float:
        """Of the sound that has come."""
        return self._samples / SAMPLE_RATE

    def push(self, piece: Any, *, render: bool = True) -> list[np.ndarray]:
        """The frames that are known by the next piece of sound (`IncomingAudio.push`), (size, size, 3) uint8 RGB.

        render: False skips them, to catch up: the list is empty, and what follows is as if they had been rendered.
        Raises `ModaError` for a piece that cannot be used; the stream goes on with the next one.
        """
        return list(self.each(piece, render=render))

    def idle(self, seconds: float) -> list[np.ndarray]:
        """`push` of silence, for a source that has stalled: the person waits, breathes and blinks."""
        return self.push((SAMPLE_RATE, np.zeros(max(0, round(seconds * SAMPLE_RATE)), np.float32)))

    def finish(self) -> list[np.ndarray]:
        """The frames that are left after the last sound; closes the stream. Raises `MediaError` if none came."""
        return list(self.rest())

    def each(self, piece: Any, *, render: bool = True) -> Iterator[np.ndarray]:
        """`push`, frame by frame as they are made."""
        for _, frame in self.numbered(piece, every=int(render)):
            yield frame

    def numbered(self, piece: Any, *, every: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """`push`, frame by frame with its number in the sound; only those whose number `every` divides, 0 = none."""
        self._require_open()
        wave = self._incoming.push(piece)
        self._samples += len(wave)
        yield from self._rendered(self._motion.push(wave), every)

    def rest(self) -> Iterator[np.ndarray]:
        """`finish`, frame by frame as they are made."""
        self._require_open()
        wave = self._incoming.finish()
        self._samples += len(wave)
        if self.seconds < MIN_SECONDS:
            self.close()
            raise MediaError(f"the stream ended after {self.seconds:.3f} s of sound, wanted at least {MIN_SECONDS} s")
        for pieces in (self._motion.push(wave), self._motion.finish()):
            for _, frame in self._rendered(pieces, 1):
                yield frame
        self.close()

    def close(self) -> None:
        """Give up what was not rendered yet, and end the threads."""
        self._open = False
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> FrameStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rendered(self, pieces: Iterator[Motion], every: int) -> Iterator[tuple[int, np.ndarray]]:
        """Numbers and frames of pieces of motion: while some are rendered, the motion of the next is made."""
        waiting: deque[tuple[range, Future[np.ndarray]]] = deque()
        for motion in pieces:
            first, self.frames = self.frames, self.frames + len(motion)
            parts = self._parts(first, len(motion), every)
            if not parts:
                continue
            face, torso = self._landmarks(motion, first)
            for numbers in parts:
                part = slice(numbers.start - first, numbers.stop - first)
                arguments = (face[part], torso[part], numbers.start)
                if self._pool is None:
                    yield from zip(numbers, self._session.render(*arguments), strict=True)
                else:
                    waiting.append((numbers, self._pool.submit(self._session.render, *arguments)))
            while len(waiting) > 2 * self._threads:
                yield from _made(*waiting.popleft())
        while waiting:
            yield from _made(*waiting.popleft())

    def _parts(self, first: int, count: int, every: int) -> list[range]:
        """Numbers of the frames that are rendered at once, of `count` frames from `first` on."""
        numbers = range(first, first + count)
        if every != 1:
            return [range(number, number + 1) for number in numbers if every and number % every == 0]
        size = count if self._pool is None else max(1, min(self._batch, -(-count // self._threads)))
        return [numbers[start : start + size] for start in range(0, count, max(1, size))]

    def _require_open(self) -> None:
        if not self._open:
            raise DataError("this stream has ended; open another one")


def _made(numbers: range, frames: Future[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    yield from zip(numbers, frames.result(), strict=True)

"""Sound from a microphone to pictures on the page, while it is spoken: one session a browser, in a thread of its own.

Gradio passes on the sound that has come and takes the frames that are ready; both are quick, so no sound is lost while
frames are made. A computer that is too slow renders fewer frames a second, and one that is too slow even for the motion
leaves out sound, so that none falls behind by much more than `LOST_SECONDS`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import queue
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from moda.app.studio import Studio
from moda.errors import ConfigError, ModaError

BEHIND_SECONDS, LOST_SECONDS = 0.6, 2.0
"""Of sound that waits: with more than the first each second frame is rendered, soon each fourth, then each eighth; with
more than the second the next piece is not heard."""
MAX_EVERY = 8
STALLED_SECONDS = 15.0
"""A session without sound for so long is ended: its client has left."""
_MAX_FRAMES = 50
_JPEG_QUALITY = 85


Shown = tuple[int, str]
"""Number of a frame in the sound that was heard, 25 a second, and the frame as JPEG in base64."""


class Live:
    """The live sessions of a studio, by the sessions of the page. Safe for several threads."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def hear(self, name: str, sound: tuple[int, np.ndarray], portrait: Path, seed: int) -> list[Shown]:
        """Take the next piece of sound (Hz, samples) of a session, which is begun if need be.

        Returns the frames that are ready. Raises `ModaError` if there is no place for another session,
        and for what its portrait or its sound is refused for.
        """
        with self._lock:
            for each in [each for each, session in self._sessions.items() if session.ended]:
                session = self._sessions.pop(each)
                if each == name and session.problem is not None:
                    raise session.problem
            if name not in self._sessions:
                if len(self._sessions) >= self._studio.limits.at_once:
                    raise ConfigError("somebody else is live; try again when they have stopped")
                self._sessions[name] = _Session(self._studio, portrait, seed)
            session = self._sessions[name]
        session.sound.put(sound)
        return session.taken()

    def stop(self, name: str) -> None:
        """End a session."""
        with self._lock:
            session = self._sessions.pop(name, None)
        if session is not None:
            session.sound.put(None)
            session.thread.join()


class _Session:
    """Sound in, frames out."""

    def __init__(self, studio: Studio, portrait: Path, seed: int) -> None:
        self.sound: queue.SimpleQueue[tuple[int, np.ndarray] | None] = queue.SimpleQueue()
        self.problem: ModaError | None = None
        self._frames: list[Shown] = []
        self._lock = threading.Lock()
        self.thread = threading.Thread(target=self._work, args=(studio, portrait, seed), name="moda live", daemon=True)
        self.thread.start()

    @property
    def ended(self) -> bool:
        return not self.thread.is_alive()

    def taken(self) -> list[Shown]:
        """The frames since the last call."""
        with self._lock:
            frames, self._frames = self._frames, []
        return frames

    def _work(self, studio: Studio, portrait: Path, seed: int) -> None:
        try:
            with contextlib.suppress(queue.Empty), studio.stream(portrait, seed) as stream:
                every = 1
                while (sound := self.sound.get(timeout=STALLED_SECONDS)) is not None:
                    behind = self.sound.qsize() * len(sound[1]) / sound[0]
                    if behind > LOST_SECONDS:
                        continue
                    if behind > BEHIND_SECONDS:
                        every = min(2 * every, MAX_EVERY)
                    elif behind < BEHIND_SECONDS / 3:
                        every = max(every // 2, 1)
                    for number, frame in stream.numbered(sound, every=every):
                        self._show(number, frame)
        except ModaError as error:
            self.problem = error

    def _show(self, number: int, frame: np.ndarray) -> None:
        packed = io.BytesIO()
        Image.fromarray(frame).save(packed, "JPEG", quality=_JPEG_QUALITY)
        with self._lock:
            self._frames = [*self._frames[-_MAX_FRAMES:], (number, base64.b64encode(packed.getvalue()).decode())]

"""Sound from a microphone to pictures on the page, while it is spoken: one session a browser, in a thread of its own.

Gradio passes on the sound that has come and takes the frames that are ready; both are quick, so no sound is lost while
frames are made. A computer that is too slow leaves out frames, and never falls behind by more than `BEHIND_SECONDS`.
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

BEHIND_SECONDS = 0.6
"""Of sound that waits: more of it is animated without being rendered."""
STALLED_SECONDS = 15.0
"""A session without sound for so long is ended: its client has left."""
_MAX_FRAMES = 50
_JPEG_QUALITY = 85


class Live:
    """The live sessions of a studio, by the sessions of the page. Safe for several threads."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def hear(self, name: str, sound: tuple[int, np.ndarray], portrait: Path, seed: int) -> list[str]:
        """Take the next piece of sound (Hz, samples) of a session, which is begun if need be.

        Returns the frames that are ready, JPEG as base64. Raises `ModaError` if there is no place for another session,
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
        self._frames: list[str] = []
        self._lock = threading.Lock()
        self.thread = threading.Thread(target=self._work, args=(studio, portrait, seed), name="moda live", daemon=True)
        self.thread.start()

    @property
    def ended(self) -> bool:
        return not self.thread.is_alive()

    def taken(self) -> list[str]:
        """The frames since the last call."""
        with self._lock:
            frames, self._frames = self._frames, []
        return frames

    def _work(self, studio: Studio, portrait: Path, seed: int) -> None:
        try:
            with contextlib.suppress(queue.Empty), studio.stream(portrait, seed) as stream:
                while (sound := self.sound.get(timeout=STALLED_SECONDS)) is not None:
                    behind = self.sound.qsize() * len(sound[1]) / sound[0]
                    for frame in stream.push(sound, render=behind < BEHIND_SECONDS):
                        self._show(frame)
        except ModaError as error:
            self.problem = error

    def _show(self, frame: np.ndarray) -> None:
        packed = io.BytesIO()
        Image.fromarray(frame).save(packed, "JPEG", quality=_JPEG_QUALITY)
        with self._lock:
            self._frames = [*self._frames[-_MAX_FRAMES:], base64.b64encode(packed.getvalue()).decode()]

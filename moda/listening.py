"""Head and shoulders of a person who does not speak: they move less after some seconds, and again when speech begins.

Stage 1 moves a listener's head as it moves a speaker's. People who pause move their head at 0.42 of the speed that it
has while they speak, with 0.55 of the spread, their shoulders at 0.62 with 0.65 (medians of 12 people, pauses of 0.8 to
2.5 s; there was no footage of longer ones). What a frame keeps depends on the frames before it alone, so that a stream
gives what a file gives.
"""

from __future__ import annotations

import numpy as np

from moda.representation import FPS

CALMING_SECONDS, WAKING_SECONDS = 0.8, 0.25
"""Time constants of two equal filters, one behind the other, that follow the gate of the lips."""
SHOULDERS_SHARE = 0.6
"""Of what the head loses, what the shoulders lose."""


class Liveliness:
    """Takes motion from head and shoulders in silences, part after part; parts of any length give the same."""

    def __init__(self, listening: float) -> None:
        """listening: what the head keeps in a long silence, 0..1."""
        self._listening = listening
        self._states: list[float] = []

    def __call__(self, head: np.ndarray, torso: np.ndarray, gate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Head (T, 7) and torso (T, 18, 3) of the frames that follow, with less motion where the person listens.

        gate: of the lips (T,), 0 in silence (`moda.lips.MouthGate`).
        """
        lost = (1 - self._listening) * (1 - self._speaking(gate)[:, None])
        return head * (1 - lost), torso * (1 - SHOULDERS_SHARE * lost[..., None])

    def _speaking(self, gate: np.ndarray) -> np.ndarray:
        """(T,) float32, 1 in speech and 0 after a long silence."""
        speaking = np.empty(len(gate), np.float32)
        for frame, value in enumerate(gate.tolist()):
            if not self._states:
                self._states = [value, value]
            for number, state in enumerate(self._states):
                seconds = WAKING_SECONDS if value > state else CALMING_SECONDS
                self._states[number] = value = state + (value - state) / (1 + seconds * FPS)
            speaking[frame] = value
        return speaking

"""Post-processing of predicted lips before they are filtered: contrast, and a mouth that closes in a silence.

Both can be computed while the sound arrives: a frame depends on at most `LOOK_AHEAD_FRAMES` later ones and, through the
running level of speech, on the last minute.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from moda.audio_features import MEMORY_FRAMES, frame_power, running_speech_level, steady
from moda.config import Config
from moda.landmarks import CENTRAL_LIP_PAIRS, lip_rows
from moda.stretches import stretches

SHORTEST_FRAMES, CLOSING_FRAMES, EASE_FRAMES = 24, 13, 3
"""A silence in which the mouth closes, frames at the least; when it is half closed; and how long before and after that
it moves. In shorter pauses people leave the mouth open, and trained lips move half as much as theirs."""
DEEP_DB = 8.0
"""A silence this much deeper than `PauseConfig.below_speech_db` is one frame by frame, not only on average."""
STEADY_BELOW_SPEECH_DB = 6.0
"""Steady noise (hum, hiss) is silence if it lies this far below the speech."""
AVERAGE_REACH_FRAMES = 2
"""Frames either way over which the power is averaged: the beats of music and the puffs of a breath are no speech."""
LOOK_AHEAD_FRAMES = SHORTEST_FRAMES - CLOSING_FRAMES + EASE_FRAMES + AVERAGE_REACH_FRAMES
"""Frames after a frame that its gate depends on (0.64 s)."""


_KEPT_FRAMES = MEMORY_FRAMES + 100
"""Frames whose power a stream keeps: those that the level of speech is taken from, and a silence that is beginning."""


class PauseConfig(Config):
    """When the mouth closes, whatever the network predicts: in silences of about a second and more.

    Trained networks leave lips parted in a pause, as people do; in a long silence that looks like a mistake.
    """

    level_db: float = -70.0
    """Quieter than this (dB of full scale) is silence."""
    below_speech_db: float = Field(16.0, gt=0)
    """So is what lies so far below the speech (the level that it exceeds in a twentieth of the last minute): noise,
    music or breath 20 dB below the speech."""


def with_contrast(lips: np.ndarray, contrast: float, mean: np.ndarray) -> np.ndarray:
    """Lips (T, 40, 3) with their deviation from the mean (40, 3) enlarged; L1 training makes it too small.

    In frames whose lips would come closer than at rest it is enlarged less: closed lips stay closed and do not cross.
    """
    gap, usual = _gap(lips), float(_gap(mean))
    nearer = usual - gap
    touching = np.divide(usual - np.minimum(gap, 0), nearer, out=np.full_like(nearer, np.inf), where=nearer > 0)
    strength = np.minimum(contrast, np.maximum(touching, 1))[:, None, None]
    return (mean + strength * (lips - mean)).astype(lips.dtype)


def _gap(lips: np.ndarray) -> np.ndarray:
    """How much further apart than at rest the middle of the lips is, pixels: (..., 40, 3) offsets -> (...)."""
    upper, lower = lip_rows(CENTRAL_LIP_PAIRS)
    return np.asarray((lips[..., lower, 1] - lips[..., upper, 1]).mean(axis=-1), dtype=np.float64)


def mouth_gate(samples: np.ndarray, frames: int, pauses: PauseConfig | None) -> np.ndarray:
    """How far lips may move: (T,) float32, 0 in a silence of 0.96 s and more, 1 elsewhere; 1 without `pauses`.

    Lips close within the first 0.64 s, over 7 frames, and leave their rest with the audio; before its start and in a
    silence that begins with it they are closed. Silence: `PauseConfig`; hum and rumble below speech do not count.
    """
    if pauses is None:
        return np.ones(frames, np.float32)
    closed = _closed(frame_power(samples, frames), pauses, CLOSING_FRAMES)
    return _eased(np.pad(closed, EASE_FRAMES, "edge"))


class MouthGate:
    """`mouth_gate` of a sound that is arriving: the power of its frames goes in, and the gate of those that are known
    comes out, `look_ahead` frames later. With less than `LOOK_AHEAD_FRAMES` the mouth closes so much later.

    The pieces in which frames are handed over can matter in steady noise: let them be the same each time.
    """

    def __init__(self, pauses: PauseConfig | None, look_ahead: int) -> None:
        """look_ahead: frames, at least `EASE_FRAMES` and `AVERAGE_REACH_FRAMES`."""
        self._pauses, self._look_ahead = pauses, look_ahead
        self._closing = max(CLOSING_FRAMES, CLOSING_FRAMES + LOOK_AHEAD_FRAMES - look_ahead)
        self._power = np.zeros(0)
        self._heard = self._decided = self._given = 0
        self._closed = np.zeros(0)  # decisions from EASE_FRAMES before the next frame that is given

    def push(self, power: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Power (T,) of the next frames -> the gate of as many frames as are known by it; `last`: of all."""
        self._heard += len(power)
        given = self._heard if last else max(self._given, self._heard - self._look_ahead)
        if self._pauses is None:
            gate = np.ones(given - self._given, np.float32)
            self._given = given
            return gate
        self._power = np.concatenate((self._power, power))[-_KEPT_FRAMES:]
        decided = self._heard if last else max(self._decided, min(self._heard, given + EASE_FRAMES))
        if decided > self._decided:
            first = self._heard - len(self._power)
            new = _closed(self._power, self._pauses, self._closing)[self._decided - first : decided - first]
            if not self._decided:
                new = np.concatenate((np.full(EASE_FRAMES, new[0]), new))
            self._closed, self._decided = np.concatenate((self._closed, new)), decided
        closed = np.pad(self._closed, (0, EASE_FRAMES), "edge") if last else self._closed
        gate = _eased(closed[: given - self._given + 2 * EASE_FRAMES])
        self._closed, self._given = self._closed[given - self._given :], given
        return gate


def _closed(power: np.ndarray, pauses: PauseConfig, closing: int) -> np.ndarray:
    """(T,) 1 where the mouth is closed, else 0, of the power of frames; closing: frames of a silence before that."""
    level, average = _decibels(power), _decibels(_moving_average(power))
    humming = steady(level, SHORTEST_FRAMES)
    speech = running_speech_level(level, (level > pauses.level_db) & ~humming)
    quiet = speech - pauses.below_speech_db
    closed = np.zeros(len(power))
    for silent in (
        average <= np.maximum(pauses.level_db, quiet),
        level <= np.maximum(pauses.level_db, quiet - DEEP_DB),
        humming & (level <= speech - STEADY_BELOW_SPEECH_DB),
    ):
        for first, after in stretches(silent):
            if first and after - first >= SHORTEST_FRAMES:
                closed[first + closing : after] = 1.0
            elif not first and (after >= SHORTEST_FRAMES - CLOSING_FRAMES or after == len(power)):
                closed[:after] = 1.0  # lips are at rest before the audio
    return closed


def _eased(closed: np.ndarray) -> np.ndarray:
    """Closed or not, with `EASE_FRAMES` more at either end -> the gate."""
    ease = np.hanning(2 * EASE_FRAMES + 3)[1:-1]
    if len(closed) < len(ease):
        return np.zeros(0, np.float32)
    return (1.0 - np.convolve(closed, ease / ease.sum(), "valid")).astype(np.float32)


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-20))


def _moving_average(power: np.ndarray) -> np.ndarray:
    """Over the frames within `AVERAGE_REACH_FRAMES`; at the ends the first and the last count more than once."""
    width = 2 * AVERAGE_REACH_FRAMES + 1
    return np.convolve(np.pad(power, AVERAGE_REACH_FRAMES, "edge"), np.full(width, 1 / width), "valid")

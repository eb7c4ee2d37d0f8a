"""Post-processing of predicted lips before they are filtered: contrast, and a mouth that closes in a silence.

Both can be computed while the sound arrives: a frame depends on at most `LOOK_AHEAD_FRAMES` later ones and, through the
running level of speech, on the last minute.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from moda.audio_features import frame_power, running_speech_level, steady
from moda.config import Config
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
    """Lips (T, 40, 3) with their deviation from the mean (40, 3) enlarged; L1 training makes it too small."""
    return (mean + contrast * (lips - mean)).astype(lips.dtype)


def mouth_gate(samples: np.ndarray, frames: int, pauses: PauseConfig | None) -> np.ndarray:
    """How far lips may move: (T,) float32, 0 in a silence of 0.96 s and more, 1 elsewhere; 1 without `pauses`.

    Lips close within the first 0.64 s, over 7 frames, and leave their rest with the audio; before its start and in a
    silence that begins with it they are closed. Silence: `PauseConfig`; hum and rumble below speech do not count.
    """
    if pauses is None:
        return np.ones(frames, np.float32)
    power = frame_power(samples, frames)
    level, average = _decibels(power), _decibels(_moving_average(power))
    humming = steady(level, SHORTEST_FRAMES)
    speech = running_speech_level(level, (level > pauses.level_db) & ~humming)
    quiet = speech - pauses.below_speech_db
    closed = np.zeros(frames + 2 * EASE_FRAMES)  # and what lies before and after the audio
    for silent in (
        average <= np.maximum(pauses.level_db, quiet),
        level <= np.maximum(pauses.level_db, quiet - DEEP_DB),
        humming & (level <= speech - STEADY_BELOW_SPEECH_DB),
    ):
        for first, after in stretches(silent):
            begin = first + CLOSING_FRAMES if first else 0  # lips are at rest before the audio
            if after - first >= SHORTEST_FRAMES - (0 if first else CLOSING_FRAMES):
                closed[EASE_FRAMES + begin : EASE_FRAMES + after] = 1.0
    closed[:EASE_FRAMES], closed[frames + EASE_FRAMES :] = closed[EASE_FRAMES], closed[frames + EASE_FRAMES - 1]
    ease = np.hanning(2 * EASE_FRAMES + 3)[1:-1]
    return (1.0 - np.convolve(closed, ease / ease.sum(), "valid")).astype(np.float32)


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-20))


def _moving_average(power: np.ndarray) -> np.ndarray:
    """Over the frames within `AVERAGE_REACH_FRAMES`; at the ends the first and the last count more than once."""
    width = 2 * AVERAGE_REACH_FRAMES + 1
    return np.convolve(np.pad(power, AVERAGE_REACH_FRAMES, "edge"), np.full(width, 1 / width), "valid")

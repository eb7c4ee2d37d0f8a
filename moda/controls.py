"""Changes to a motion that a user asks for: parts from elsewhere, frozen parts, blinks at given times, offsets.

Dimension letters: T frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from moda.blinks import Blink, find_blinks, without_blinks
from moda.errors import ConfigError, DataError
from moda.landmarks import (
    EYES,
    LEFT_IRIS,
    LIDS,
    N_LANDMARKS,
    RIGHT_IRIS,
    UPPER_LID_SHARE,
    eye_opening,
)
from moda.representation import FPS, Motion, interpolate

Part = Literal["lips", "eyes", "head", "torso", "gaze", "blinks"]
PARTS: tuple[Part, ...] = get_args(Part)
GROUPS = ("lips", "eyes", "head", "torso")
"""Parts that are arrays of a motion; gaze and blinks are inside the eyes."""
HeadChannel = Literal["pitch", "yaw", "roll", "x", "y", "z", "scale"]
HEAD_CHANNELS: tuple[HeadChannel, ...] = get_args(HeadChannel)
"""Of `Motion.head`: degrees, pixels of the square frame, and the change of scale."""
CLOSING_SECONDS, OPENING_SECONDS = 0.10, 0.16
"""Of a blink: lids close faster than they open (VanderWerf et al. 2003 measure 0.1 and 0.2)."""
MAX_BLINKS = 100_000
_CHUNK_FRAMES = 1500

_ROW = {landmark: row for row, landmark in enumerate(EYES)}
_IRISES = [_ROW[landmark] for landmark in (*LEFT_IRIS, *RIGHT_IRIS)]
_UPPER, _LOWER = ([_ROW[point] for lids in LIDS for point in lids[side]] for side in (0, 1))
"""Rows of facing points of the lids in the eyes group."""


def fitted(motion: Motion, fps: float, frames: int) -> Motion:
    """A motion at another rate and length: cut where it is longer, played back and forth where it is shorter."""
    own = motion.at_fps(fps, max(1, round(len(motion) / motion.fps * fps)))
    if len(own) == 1:
        index = np.zeros(frames, int)
    else:
        index = np.arange(frames) % (2 * len(own) - 2)
        index = np.where(index < len(own), index, 2 * len(own) - 2 - index)
    return Motion(own.lips[index], own.eyes[index], own.head[index], own.torso[index], fps)


def take(motion: Motion, part: Part, source: Motion, subject: np.ndarray) -> Motion:
    """The motion with a part of another, brought to its rate and length (`fitted`).

    gaze: where the irises are in the eyes; blinks: their times, with those of the motion removed.
    subject: the portrait's mesh (478, 3), for the blinks. Raises `ConfigError` for a part that there is not.
    """
    if part not in PARTS:
        raise ConfigError(f"no part '{part}', wanted one of {', '.join(PARTS)}")
    other = fitted(source, motion.fps, len(motion))
    if part == "gaze":
        eyes = motion.eyes.copy()
        eyes[:, _IRISES] = other.eyes[:, _IRISES]
        return replace(motion, eyes=eyes)
    if part == "blinks":
        return blinking(motion, blink_times(other, subject), subject)
    return replace(motion, **{part: getattr(other, part).astype(getattr(motion, part).dtype)})


def freeze(motion: Motion, parts: Sequence[str]) -> Motion:
    """The motion with parts at the portrait's rest; gaze and blinks as in `take`."""
    for part in parts:
        if part in GROUPS:
            motion = motion.scaled(**{part: 0.0})
        elif part == "gaze":
            eyes = motion.eyes.copy()
            eyes[:, _IRISES] = 0.0
            motion = replace(motion, eyes=eyes)
        else:
            raise ConfigError(f"'{part}' cannot be frozen, wanted one of {', '.join((*GROUPS, 'gaze'))}")
    return motion


def offset(motion: Motion, offsets: Mapping[HeadChannel, float]) -> Motion:
    """The motion with its head moved by constant amounts, by the names of `HEAD_CHANNELS`."""
    head = motion.head.copy()
    for name, value in offsets.items():
        if name not in HEAD_CHANNELS:
            raise ConfigError(f"no offset '{name}', wanted one of {', '.join(HEAD_CHANNELS)}")
        head[:, HEAD_CHANNELS.index(name)] += value
    return replace(motion, head=head)


def blink_times(motion: Motion, subject: np.ndarray) -> list[float]:
    """Seconds at which the blinks of a motion are deepest, on a portrait with this mesh (478, 3)."""
    return [float((blink.start + blink.stop) / 2 / FPS) for blink in _blinks(motion, subject)]


def blinking(motion: Motion, times: Sequence[float], subject: np.ndarray) -> Motion:
    """The motion with its own blinks removed, and others whose lids are shut at `times`, seconds.

    Raises `DataError` for times that are negative or behind the end.
    """
    seconds = len(motion) / motion.fps
    wrong = [time for time in times if not 0 <= time < seconds]
    if wrong or len(times) > MAX_BLINKS:
        raise DataError(f"a blink at {wrong[0] if wrong else 'too many times'}, wanted 0 to {seconds:.2f} s")
    blinks = [Blink(*(edge * motion.fps / FPS for edge in blink)) for blink in _blinks(motion, subject)]
    eyes = without_blinks(motion.eyes, blinks)
    closure = _closure(np.asarray(times, np.float64), len(motion), motion.fps)[:, None, None]
    shut = np.flatnonzero(closure[:, 0, 0])
    eyes = eyes.copy()
    points = np.asarray(subject, np.float64)[list(EYES)] + eyes[shut]
    gap = points[:, _LOWER] - points[:, _UPPER]
    eyes[np.ix_(shut, np.array(_UPPER))] += (UPPER_LID_SHARE * closure[shut] * gap).astype(eyes.dtype)
    eyes[np.ix_(shut, np.array(_LOWER))] -= ((1 - UPPER_LID_SHARE) * closure[shut] * gap).astype(eyes.dtype)
    return replace(motion, eyes=eyes)


def _closure(times: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """How far the lids are closed, (T,): 0 open, 1 at the frame nearest to each of `times`."""
    closed = np.zeros(frames)
    reach = int(np.ceil(max(CLOSING_SECONDS, OPENING_SECONDS) * fps))
    for time in times:
        deepest = min(int(np.rint(time * fps)), frames - 1)
        around = np.arange(max(0, deepest - reach), min(frames, deepest + reach + 1))
        since = (around - deepest) / fps
        phase = np.where(since < 0, -since / CLOSING_SECONDS, since / OPENING_SECONDS)
        closed[around] = np.maximum(closed[around], 0.5 + 0.5 * np.cos(np.pi * np.clip(phase, 0, 1)))
    return closed


def _blinks(motion: Motion, subject: np.ndarray) -> list[Blink]:
    """The blinks of a motion, in frames at 25 a second."""
    opening = np.empty(len(motion))
    for start in range(0, len(motion), _CHUNK_FRAMES):
        part = motion.eyes[start : start + _CHUNK_FRAMES]
        face = np.broadcast_to(np.asarray(subject, np.float64), (len(part), N_LANDMARKS, 3)).copy()
        face[:, list(EYES)] += part
        opening[start : start + len(part)] = eye_opening(face)
    at = np.arange(max(1, round(len(motion) / motion.fps * FPS))) * motion.fps / FPS
    return find_blinks(interpolate(opening, at))

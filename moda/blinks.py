"""Blinks in a curve of the eye opening: finding them, taking them out of a motion, measuring their course.

Dimension letters: T frames. Frames are 25 a second; an opening is `landmarks.eye_opening`, NaN without a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from moda.representation import FPS
from moda.stretches import stretches

CLOSED_SHARE, OPEN_SHARE = 0.6, 0.7
"""Shares of the clip's median eye opening: a blink goes below the first and lasts while below the second."""
MIN_BLINK_SECONDS, MAX_BLINK_SECONDS = 0.08, 0.5
"""Seconds a blink may last; anything else is the tracker's noise, or eyes that are held closed or lowered."""
CLOSING_FRAMES, OPENING_FRAMES = 2, 3
"""Frames that lids take from open to `OPEN_SHARE` and back: eyes close faster than they open."""
COURSE_TIMES = np.linspace(-1.0, 2.0, 61)
"""Times at which a blink's course is sampled, in its durations from its start."""


class Blink(NamedTuple):
    """In fractional frames: where the eye opening goes below and comes back over `OPEN_SHARE` of its median."""

    start: float
    stop: float

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return (self.stop - self.start) / FPS

    @property
    def anchors(self) -> tuple[int, int]:
        """The last frame with open eyes before it and the first one after; may lie outside of the clip."""
        return int(np.floor(self.start)) - CLOSING_FRAMES, int(np.ceil(self.stop)) + OPENING_FRAMES


def find_blinks(opening: np.ndarray) -> list[Blink]:
    """Blinks in an eye opening (T,) at 25 fps; NaN without a face.

    The opening must fall below `CLOSED_SHARE` of its median over the clip; the blink lasts as long as it is
    below `OPEN_SHARE` of it (crossings between frames by straight lines), 0.08 to 0.5 s. Those that the
    clip's ends or frames without a face cut off are not counted.
    """
    opening = np.asarray(opening, np.float64)
    if not np.isfinite(opening).any():
        return []
    usual = float(np.nanmedian(opening))
    level = OPEN_SHARE * usual
    below = opening < level  # False at NaN
    blinks = []
    for first, after in stretches(below):
        if first == 0 or after == len(opening) or not np.isfinite(opening[[first - 1, after]]).all():
            continue
        if opening[first:after].min() >= CLOSED_SHARE * usual:
            continue
        blink = Blink(_crossing(opening, first - 1, level), _crossing(opening, after - 1, level))
        if MIN_BLINK_SECONDS <= blink.seconds <= MAX_BLINK_SECONDS:
            blinks.append(blink)
    return blinks


def _crossing(values: np.ndarray, index: int, level: float) -> float:
    """Where the line between values[index] and the next passes `level`."""
    here, there = values[index], values[index + 1]
    return float(index + (level - here) / (there - here))


def onsets(blinks: Sequence[Blink], frames: int) -> np.ndarray:
    """(frames,) float32: 1 at the frame in which a blink starts."""
    found = np.zeros(frames, np.float32)
    starts = np.array([int(blink.start) for blink in blinks], int)
    found[starts[(starts >= 0) & (starts < frames)]] = 1.0
    return found


def without_blinks(values: np.ndarray, blinks: Sequence[Blink]) -> np.ndarray:
    """Values (T, ...) with a straight line over each blink, from the last open frame before it to the first after.

    Where the first or the last frames belong to a blink they take the nearest frame that does not; the
    values come back as they are if none does not.
    """
    open_eyed = np.ones(len(values), bool)
    for blink in blinks:
        first, last = blink.anchors
        open_eyed[max(first + 1, 0) : max(last, 0)] = False
    kept = np.flatnonzero(open_eyed)
    if len(kept) in (0, len(values)):
        return values
    frames = np.flatnonzero(~open_eyed)
    after = np.searchsorted(kept, frames)
    low, high = kept[np.maximum(after - 1, 0)], kept[np.minimum(after, len(kept) - 1)]
    share = np.clip((frames - low) / np.maximum(high - low, 1), 0, 1).astype(values.dtype)
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    out = values.copy()
    out[frames] = values[low] * (1 - share) + values[high] * share
    return out


@dataclass(frozen=True)
class BlinkShape:
    """The shape of one blink, measured against the line between the open eyes before and after it.

    seconds: its duration. depth: the largest share of the eye opening that it takes. course: (61,) the
    share that it takes, over its depth, at the times `COURSE_TIMES`. deepest: frame of the depth, counted from
    the first anchor.
    """

    seconds: float
    depth: float
    course: np.ndarray
    deepest: int


def measure_blink(blink: Blink, opening: np.ndarray) -> BlinkShape | None:
    """Measure a blink of an opening (T,); None where its anchors are out of the clip or without a face."""
    first, last = blink.anchors
    if first < 0 or last >= len(opening) or not np.isfinite(opening[first : last + 1]).all():
        return None
    part = np.asarray(opening[first : last + 1], np.float64)
    if min(part[0], part[-1]) <= part.min():
        return None
    closure = 1 - part / np.linspace(part[0], part[-1], len(part))
    deepest = int(closure.argmax())
    times = (np.arange(first, last + 1) - blink.start) / (blink.stop - blink.start)
    course = np.interp(COURSE_TIMES, times, closure / closure[deepest], left=0.0, right=0.0)
    return BlinkShape(blink.seconds, float(closure[deepest]), course, deepest)

"""Where the eyes look: gaze that rests on a place in the room and jumps to the next, as people's does.

The flow of stage 1 draws gaze that wanders: half of a shift of four frames happens within two of them, where people do
nine tenths. And people's eyes turn against the head, so that they keep looking at who they look at: over 34 people
unseen in training gaze moves by 0.55 % of the eye's width a degree of yaw and -0.23 % a degree of pitch. Here the
wander says where to look and the head's turn is taken out of it; the eyes rest there until it has gone far enough, or
for long enough, and then jump. What a frame shows depends on the frames before it alone.

Dimension letters: T frames at 25 a second.
"""

from __future__ import annotations

import numpy as np

from moda.landmarks import EYE_CORNERS, EYES, INNER_CORNERS, IRIS_ROWS, LOWER_LID_ROWS, UPPER_LID_ROWS
from moda.representation import FPS

PER_DEGREE = np.array([0.55, -0.23]) / 100
"""By how many widths of the eye gaze moves right a degree of yaw and down a degree of pitch."""
DRAWN_PER_DEGREE = np.array([0.29, -0.18]) / 100
"""What of it the drawn gaze does already: the checkpoint that ships, 5 people, two seeds."""
SHIFT, SHIFT_SPREAD, SHIFT_RANGE = 0.020, 0.35, (0.01, 0.05)
"""Widths of the eye by which the wander has gone on when the eyes jump: median, spread of the logarithm, bounds."""
REST_SECONDS, REST_SPREAD, REST_RANGE = 1.2, 0.6, (0.3, 3.0)
"""How long they rest at most, likewise."""
MIN_REST_FRAMES = 5
FIRST_FRAME_SHARE = 0.6
"""Of a jump, in its first frame; the rest is in the second."""
MAX_GAZE = np.array([0.10, 0.05])
"""Widths of the eye by which gaze leaves the portrait's at most, to a side and up or down."""

CLOSED_SHARE, CLOSING_SHARE, SETTLING_FRAMES = 0.8, 0.05, 3
"""Lids below the first share of the portrait's opening, or faster than the second a frame, are those of a blink, which
moves the irises too: gaze waits until they have been still for so many frames."""

_CORNERS = [EYES.index(landmark) for landmark in (*EYE_CORNERS, *INNER_CORNERS)]


class Fixations:
    """Makes the gaze of a motion rest and jump, part after part; parts of any length give the same.

    subject: the portrait's mesh (478, 3). seed: of how far and how long.
    """

    def __init__(self, subject: np.ndarray, seed: int) -> None:
        self._eyes = np.asarray(subject, np.float64)[list(EYES)]
        corners = np.asarray(subject, np.float64)[np.array([EYE_CORNERS, INNER_CORNERS]), :2]
        self._width = float(np.linalg.norm(corners[0] - corners[1], axis=1).mean())
        self._open = max(self._opening(np.zeros((1, *self._eyes.shape)))[0], 1e-6)
        self._random = np.random.default_rng(int(seed) % 2**64)
        self._place: np.ndarray | None = None
        self._before = self._change = np.zeros(2)
        self._rested, self._still, self._opened = 0, SETTLING_FRAMES, 1.0
        self._next()

    def __call__(self, eyes: np.ndarray, head: np.ndarray) -> np.ndarray:
        """The eyes (T, 60, 3) of the frames that follow, with their gaze moved; head (T, 7) as in `Motion`."""
        points = eyes[..., :2].astype(np.float64)
        drawn = (points[:, IRIS_ROWS].mean(axis=1) - points[:, _CORNERS].mean(axis=1)) / self._width
        turns = head[:, [1, 0]].astype(np.float64)
        opened = self._opening(eyes) / self._open
        moved = eyes.copy()
        for frame, gaze in enumerate(drawn):
            if self._blinking(opened[frame]):
                change = self._change  # what a blink does to the irises stays
            else:
                rested = self._rest(gaze - DRAWN_PER_DEGREE * turns[frame])
                wanted = np.clip(rested + PER_DEGREE * turns[frame], -MAX_GAZE, MAX_GAZE)
                change = self._change = wanted - gaze
            moved[frame, IRIS_ROWS, :2] += (change * self._width).astype(eyes.dtype)
        return moved

    def _opening(self, eyes: np.ndarray) -> np.ndarray:
        """Mean distance of facing points of the lids, (T,) pixels, of offsets (T, 60, 3)."""
        points = self._eyes + eyes
        return np.asarray(np.linalg.norm(points[:, LOWER_LID_ROWS] - points[:, UPPER_LID_ROWS], axis=-1).mean(axis=-1))

    def _blinking(self, opened: float) -> bool:
        busy = opened < CLOSED_SHARE or abs(opened - self._opened) > CLOSING_SHARE
        self._opened = opened
        self._still = 0 if busy else self._still + 1
        return self._still < SETTLING_FRAMES

    def _rest(self, wander: np.ndarray) -> np.ndarray:
        """Where the eyes rest or jump in the next frame, (2,), while the wander is at (2,)."""
        if self._place is None:
            self._place = wander
        self._rested += 1
        far = float(np.hypot(*(wander - self._place))) > self._shift and self._rested > MIN_REST_FRAMES
        if not far and self._rested <= self._most:
            return self._place
        self._before, self._place, self._rested = self._place, wander, 0
        self._next()
        return self._before + FIRST_FRAME_SHARE * (self._place - self._before)

    def _next(self) -> None:
        """Draw how far and how long until the next jump."""
        shift, rest = np.exp(self._random.normal((0.0, 0.0), (SHIFT_SPREAD, REST_SPREAD)))
        self._shift = float(np.clip(SHIFT * shift, *SHIFT_RANGE))
        self._most = round(FPS * float(np.clip(REST_SECONDS * rest, *REST_RANGE)))

"""Which frames of a tracked video become the clip: without fades, cuts, frozen pictures and long gaps."""

from __future__ import annotations

import math

import numpy as np

from data_prepare.job import Span
from moda.imaging.crop import face_rectangle, face_size
from moda.representation import FPS, FRAME

MAX_GAP_FRAMES = 5
"""Longest gap, frames, over which landmarks are interpolated and still count as tracked."""
MIN_TRACKED_SHARE = 0.9
"""Least share of tracked frames for a shot to be taken whole."""
MIN_RUN_SECONDS = 1.5
MIN_RUN_FRAMES = math.ceil(MIN_RUN_SECONDS * FPS)
"""Shortest tracked run that is taken of a worse video, frames."""
MIN_FRAMES = int(1.0 * FPS)
FADED_CONTRAST_SHARE = 0.85
"""Share of the face's usual contrast (median of the clip) below which a frame at either end is part of a fade."""
JUMP_FACE_SIZES = 0.3
"""A face that moves so far from one frame to the next (in face sizes) is another shot."""
BLOCK_SIDE_PX = 4
"""Pictures are compared in means of so many pixels a side, in which noise and what a codec adds hardly show."""
MIN_FREEZE_FRAMES = int(FPS)
"""The shortest stretch that counts, frames: a second."""
COMPARED_FRAMES = (MIN_FREEZE_FRAMES // 4, MIN_FREEZE_FRAMES // 2, 3 * MIN_FREEZE_FRAMES // 4, MIN_FREEZE_FRAMES - 1)
"""Frames after its first at which a stretch is looked at."""
MAX_CHANGE_STDS = 0.015
"""Mean change of a face's picture that is none, in standard deviations of its grey levels. Photos encoded as videos
change by 0.000 to 0.015 within a second (0.006 to 0.015 with film grain of 5 grey levels), frozen parts of real videos
by 0.003 to 0.010; of people who talk, or pause as still as they can, by 0.020 and more."""


def faded_ends(contrasts: np.ndarray) -> np.ndarray:
    """Frames at either end in which the face is still fading in or already fading out.

    contrasts: (T,) of the face, 0 where none was found. Returns (T,) bool: from each end, all frames
    before the face first reaches `FADED_CONTRAST_SHARE` of its usual contrast.
    """
    usual = float(np.median(contrasts[contrasts > 0])) if (contrasts > 0).any() else 0.0
    clear = np.flatnonzero(contrasts >= FADED_CONTRAST_SHARE * usual)
    faded = np.ones(len(contrasts), bool)
    faded[clear[0] : clear[-1] + 1] = False
    return faded


def find_jumps(landmarks: np.ndarray) -> np.ndarray:
    """Frames at which the face jumps: the scan missed a cut there.

    landmarks: (T, 478, 3), NaN where no face was found. Returns (T,) bool; never frame 0.
    """
    jumps = np.zeros(len(landmarks), bool)
    known = np.flatnonzero(np.isfinite(landmarks[:, 0, 0]))
    if len(known) > 1:
        points = landmarks[known, :, :2]
        centre = 0.5 * (points.min(axis=1) + points.max(axis=1))
        size = np.asarray(face_size(landmarks[known]))
        moved = np.linalg.norm(np.diff(centre, axis=0), axis=1) / size[:-1]
        grown = np.abs(np.log(size[1:] / size[:-1]))
        near = np.diff(known) <= 2
        jumps[known[1:][((moved > JUMP_FACE_SIZES) | (grown > JUMP_FACE_SIZES)) & near]] = True
    return jumps


def small_grey(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H // 4, W // 4) uint8, means of the green channel."""
    height, width = (size // BLOCK_SIDE_PX * BLOCK_SIDE_PX for size in picture.shape[:2])
    blocks = picture[:height, :width, 1].reshape(
        height // BLOCK_SIDE_PX, BLOCK_SIDE_PX, width // BLOCK_SIDE_PX, BLOCK_SIDE_PX
    )
    return np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)


def frozen_frames(pictures: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(T,) bool: frames of a stretch of `MIN_FREEZE_FRAMES` or more in which the face's picture does not change.

    pictures: (T, h, h) uint8 from `small_grey`. landmarks: (T, 478, 3) pixels of the square frame, NaN where there is
    no face: those are not frozen.
    """
    frames = len(pictures)
    frozen = np.zeros(frames, bool)
    points = landmarks[..., :2] * (pictures.shape[1] / FRAME)
    known = np.isfinite(points[:, 0, 0])
    for start in np.flatnonzero(known[: max(0, frames - MIN_FREEZE_FRAMES + 1)]):
        box = face_rectangle(points[start])
        first = pictures[start][box].astype(np.float32)
        limit = MAX_CHANGE_STDS * float(first.std()) if first.size else -1.0
        if all(float(np.abs(pictures[start + look][box] - first).mean()) <= limit for look in COMPARED_FRAMES):
            frozen[start : start + MIN_FREEZE_FRAMES] = True
    return frozen


def _runs(good: np.ndarray, cuts: np.ndarray) -> list[Span]:
    """Stretches of good frames that no cut divides."""
    runs, start = [], None
    for index, value in enumerate(good):
        if start is not None and (not value or cuts[index]):
            runs.append(Span(start, index))
            start = None
        if value and start is None:
            start = index
    if start is not None:
        runs.append(Span(start, len(good)))
    return runs


def short_gaps_filled(found: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """(T,) bool -> (T,) bool: gaps of up to `MAX_GAP_FRAMES` frames between found ones, in one shot, become True."""
    filled = found.copy()
    for gap in _runs(~found, np.zeros_like(cuts)):
        inside = gap.start > 0 and gap.stop < len(found)
        if inside and gap.stop - gap.start <= MAX_GAP_FRAMES and not cuts[gap.start : gap.stop + 1].any():
            filled[gap.start : gap.stop] = True
    return filled


def choose_span(tracked: np.ndarray, cuts: np.ndarray, share: float = MIN_TRACKED_SHARE) -> Span | None:
    """The frames that become the clip, or None if too few are tracked.

    One shot, tracked from its first to its last tracked frame for at least `share` of all: all of
    that. Else the longest tracked run without a cut, if it lasts `MIN_RUN_FRAMES`.
    """
    known = np.flatnonzero(tracked)
    if len(known) == 0:
        return None
    whole = Span(int(known[0]), int(known[-1]) + 1)
    if (
        tracked.sum() >= share * len(tracked)
        and not cuts[whole.start + 1 : whole.stop].any()
        and whole.stop - whole.start >= MIN_FRAMES
    ):
        return whole
    longest = max(_runs(tracked, cuts), key=lambda run: run.stop - run.start)
    return longest if longest.stop - longest.start >= MIN_RUN_FRAMES else None


def fill_gaps(landmarks: np.ndarray) -> np.ndarray:
    """(T, 478, 3) with NaN frames -> float32 without: linear in time between neighbours, held at the ends."""
    known = np.flatnonzero(np.isfinite(landmarks[:, 0, 0]))
    missing = np.flatnonzero(~np.isfinite(landmarks[:, 0, 0]))
    filled = landmarks.astype(np.float32, copy=True)
    if len(missing) == 0:
        return filled
    after = np.searchsorted(known, missing).clip(0, len(known) - 1)
    before = (np.searchsorted(known, missing) - 1).clip(0, len(known) - 1)
    left, right = known[before], known[after]
    weight = np.where(right > left, (missing - left) / np.maximum(right - left, 1), 0.0).clip(0.0, 1.0)
    weight = weight.astype(np.float32)[:, None, None]
    filled[missing] = (1.0 - weight) * landmarks[left] + weight * landmarks[right]
    return filled

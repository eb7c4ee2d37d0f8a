"""Where the picture of a face stands still: a photo with a voice, or a video that froze."""

from __future__ import annotations

import numpy as np

from moda.representation import FPS, FRAME

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
    no face: nothing is said of those.
    """
    frames = len(pictures)
    frozen = np.zeros(frames, bool)
    points = landmarks[..., :2] * (pictures.shape[1] / FRAME)
    known = np.isfinite(points[:, 0, 0])
    points = np.where(known[:, None, None], points, 0.0)
    low = np.clip(np.floor(points.min(axis=1)).astype(int), 0, None)
    high = np.ceil(points.max(axis=1)).astype(int)
    for start in np.flatnonzero(known[: max(0, frames - MIN_FREEZE_FRAMES + 1)]):
        box = slice(low[start, 1], high[start, 1]), slice(low[start, 0], high[start, 0])
        first = pictures[start][box].astype(np.float32)
        limit = MAX_CHANGE_STDS * float(first.std()) if first.size else -1.0
        if all(float(np.abs(pictures[start + look][box] - first).mean()) <= limit for look in COMPARED_FRAMES):
            frozen[start : start + MIN_FREEZE_FRAMES] = True
    return frozen

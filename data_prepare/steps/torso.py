"""The shoulder points of every frame."""

from __future__ import annotations

import numpy as np

from data_prepare.job import Job, Step
from moda.representation import FRAME
from moda.smoothing import gaussian
from moda.tracking.person import shoulders_over_time

SIGMA_FRAMES = 2.0
"""Smoothing over time, frames."""
ANCHOR_SIGMA_FRAMES = 12.0
"""Smoothing of the landmarks that give the place of the neck: the shoulders do not follow every nod."""


def interpolate(points: np.ndarray, at: np.ndarray, frames: int) -> np.ndarray:
    """Points (K, ...) at frames `at` (K,) -> (frames, ...), linear in time, held at the ends."""
    position = np.interp(np.arange(frames), at, np.arange(len(at)))
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, len(at) - 1)
    weight = (position - low).reshape(-1, *[1] * (points.ndim - 1))
    return (1.0 - weight) * points[low] + weight * points[high]


def run(job: Job) -> None:
    """Trace the shoulders in the outlines, interpolate and smooth; z is the head's mean depth in that frame."""
    anchors = gaussian(job.landmarks, ANCHOR_SIGMA_FRAMES)
    points = shoulders_over_time(job.outlines, anchors[job.outlined])
    torso = gaussian(interpolate(points, job.outlined, len(anchors)), SIGMA_FRAMES)
    torso[..., 2] = job.landmarks[..., 2].mean(axis=1)[:, None]
    job.torso = np.clip(torso, -FRAME, 2 * FRAME).astype(np.float32)


STEP = Step("torso", needs=("landmarks", "outlined", "outlines"), makes=("torso",), version=5, run=run)

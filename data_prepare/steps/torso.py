"""The shoulder points of every frame."""

from __future__ import annotations

import numpy as np

from data_prepare.job import Job, Step
from moda.representation import FRAME, interpolate
from moda.smoothing import gaussian
from moda.tracking.person import shoulders_over_time

SIGMA_FRAMES = 2.0
"""Smoothing over time, frames."""
ANCHOR_SIGMA_FRAMES = 12.0
"""Smoothing of the landmarks that give the place of the neck: the shoulders do not follow every nod."""


def run(job: Job) -> None:
    """Trace the shoulders in the outlines, interpolate and smooth; z is the head's mean depth in that frame."""
    anchors = gaussian(job.landmarks, ANCHOR_SIGMA_FRAMES)
    points = shoulders_over_time(job.outlines, anchors[job.outlined])
    at = np.interp(np.arange(len(anchors)), job.outlined, np.arange(len(points)))
    torso = gaussian(interpolate(points, at), SIGMA_FRAMES)
    torso[..., 2] = job.landmarks[..., 2].mean(axis=1)[:, None]
    job.torso = np.clip(torso, -FRAME, 2 * FRAME).astype(np.float32)


STEP = Step("torso", needs=("landmarks", "outlined", "outlines"), makes=("torso",), version=5, run=run)

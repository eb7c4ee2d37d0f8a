"""The shoulder points of every frame."""

from __future__ import annotations

import numpy as np

from data_prepare.job import Job, Step
from moda.media.torso_tracker import PersonSegmenter, shoulder_points
from moda.media.video import VideoReader
from moda.representation import FRAME
from moda.smoothing import gaussian

EVERY = 2
"""One frame in so many is segmented; points in between are interpolated."""
SIGMA = 2.0
"""Smoothing over time, frames."""
ANCHOR_SIGMA = 12.0
"""Smoothing of the landmarks that say where the neck is: the shoulders do not follow every nod."""


def interpolate(points: np.ndarray, at: np.ndarray, frames: int) -> np.ndarray:
    """Points (K, ...) at frames `at` (K,) -> (frames, ...), linear in time, held at the ends."""
    position = np.interp(np.arange(frames), at, np.arange(len(at)))
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, len(at) - 1)
    weight = (position - low).reshape(-1, *[1] * (points.ndim - 1))
    return (1.0 - weight) * points[low] + weight * points[high]


def run(job: Job) -> None:
    """Segment the stored video and trace the shoulders; z is the head's mean depth in that frame."""
    frames = len(job.landmarks)
    anchors = gaussian(job.landmarks, ANCHOR_SIGMA)
    at = np.arange(0, frames, EVERY)
    with PersonSegmenter() as segmenter, VideoReader(job.folder / "video.mp4") as video:
        at = at[at < len(video)]
        points = np.stack([shoulder_points(segmenter.small_mask(video[int(i)]), anchors[i]) for i in at])
    torso = gaussian(interpolate(points, at, frames), SIGMA)
    torso[..., 2] = job.landmarks[..., 2].mean(axis=1)[:, None]
    job.torso = np.clip(torso, -FRAME, 2 * FRAME).astype(np.float32)


STEP = Step("torso", needs=("landmarks",), makes=("torso",), version=1, run=run)

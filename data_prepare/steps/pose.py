"""Head pose, canonical landmarks and the person's mesh at rest."""

from __future__ import annotations

import numpy as np

from data_prepare.job import Job, Step
from moda.geometry import fit_head_pose, subject_mesh, to_canonical
from moda.representation import HeadPose
from moda.smoothing import gaussian

SIGMA = 1.0
"""Smoothing of the pose over time, frames."""


def smooth_pose(pose: HeadPose, sigma: float = SIGMA) -> HeadPose:
    """Gaussian over time of every channel; angles are unwrapped first."""
    rotation = np.unwrap(pose.rotation, period=360.0, axis=0)
    return HeadPose(gaussian(rotation, sigma), gaussian(pose.translation, sigma), gaussian(pose.scale, sigma))


def run(job: Job) -> None:
    """Fit and smooth the pose; the canonical mesh is the exact inverse of the landmarks under it."""
    landmarks = job.landmarks.astype(np.float64)
    job.pose = smooth_pose(fit_head_pose(landmarks))
    canonical = to_canonical(landmarks, job.pose)
    job.canonical = canonical.astype(np.float32)
    job.subject = subject_mesh(canonical[job.tracked]).astype(np.float32)


STEP = Step("pose", needs=("landmarks", "tracked"), makes=("pose", "canonical", "subject"), version=1, run=run)

"""Head pose and the person's mesh at rest."""

from __future__ import annotations

import numpy as np

from data_prepare.annotations import POSE_FILE
from data_prepare.job import Job, Step
from moda.geometry import fit_head_pose, subject_mesh, to_canonical
from moda.representation import FPS, HeadPose
from moda.smoothing import gaussian

SIGMA_FRAMES = 1.0
"""Smoothing of the pose over time, frames."""


def smooth_pose(pose: HeadPose) -> HeadPose:
    """Gaussian over time of every channel; angles are unwrapped first."""
    rotation = np.unwrap(pose.rotation, period=360.0, axis=0)
    return HeadPose(*(gaussian(part, SIGMA_FRAMES) for part in (rotation, pose.translation, pose.scale)))


def run(job: Job) -> None:
    """Fit the pose, or take the annotated one, and smooth it; the mesh at rest is that of the canonical face."""
    landmarks = job.landmarks.astype(np.float64)
    times = (job.span.start + np.arange(len(landmarks))) / FPS
    annotated = None if job.annotations is None else job.annotations.pose(times, job.shot.box, landmarks)
    job.pose = smooth_pose(fit_head_pose(landmarks) if annotated is None else annotated)
    job.subject = subject_mesh(to_canonical(landmarks, job.pose)[job.tracked]).astype(np.float32)


STEP = Step(
    "pose",
    needs=("span", "landmarks", "tracked"),
    makes=("pose", "subject"),
    version=2,
    run=run,
    annotations=(POSE_FILE,),
)

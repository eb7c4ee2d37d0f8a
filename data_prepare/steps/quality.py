"""Figures by which clips can be chosen later."""

from __future__ import annotations

import numpy as np

from data_prepare.job import Job, Step
from data_prepare.steps.sound import loudness
from moda.landmarks import FACE_OVAL, lip_opening
from moda.media.crop import face_size
from moda.representation import FRAME


def spread(values: np.ndarray) -> float:
    """Distance between the 5th and the 95th percentile."""
    low, high = np.percentile(values, (5, 95))
    return float(high - low)


def run(job: Job) -> None:
    """Collect the figures; every one is a finite number, and `loudness_dbfs` is absent without sound."""
    oval = job.landmarks[:, list(FACE_OVAL), :2]
    outside = (oval < 0).any(axis=(1, 2)) | (oval > FRAME).any(axis=(1, 2))
    figures = {
        "tracked": float(job.tracked.mean()),
        "face_px": float(np.median(face_size(job.landmarks))) * job.box.side / FRAME,
        "sharpness": job.sharpness,
        "yaw_range": spread(job.pose.rotation[:, 1]),
        "pitch_range": spread(job.pose.rotation[:, 0]),
        "lip_opening_range": spread(lip_opening(job.canonical[..., :2])),
        "out_of_crop": float(outside.mean()),
    }
    if job.wave is not None:
        figures["loudness_dbfs"] = loudness(job.wave)
    job.quality = {name: round(value, 4) for name, value in figures.items()}


STEP = Step(
    "quality",
    needs=("box", "landmarks", "tracked", "sharpness", "pose", "canonical", "wave"),
    makes=("quality",),
    version=1,
    run=run,
)

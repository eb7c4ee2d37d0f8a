"""Quality figures of a clip, and the limits beyond which it is rejected."""

from __future__ import annotations

import numpy as np

from data_prepare.job import Job, Rejected, Step
from data_prepare.options import Limits
from data_prepare.steps.audio import loudness
from moda.audio_features import frame_power
from moda.geometry import to_canonical
from moda.imaging.crop import face_rectangle, face_size
from moda.imaging.landmark_strip import evenly
from moda.landmarks import FACE_OVAL, LIPS, canonical_face, lip_opening
from moda.media.video import VideoReader
from moda.representation import FPS, FRAME

PAUSE_BELOW_SPEECH_DB = 30.0
"""A frame of audio so far below the clip's loud ones is a pause."""
CLIPPED_AMPLITUDE = 0.99
LIMITS = {"min_face", "min_sharpness", "max_yaw", "max_outside", "min_lip_range", "min_lip_motion"}
"""Those of this step."""


def sharpness(picture: np.ndarray, landmarks: np.ndarray) -> float:
    """Variance of the Laplacian (grey levels) in the face's box; landmarks: (478, 3) pixels of `picture`."""
    grey = picture[face_rectangle(landmarks)] @ np.array([0.299, 0.587, 0.114], np.float32)
    if min(grey.shape) < 3:
        return 0.0
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4.0 * centre
    return float(laplacian.var())


def spread(values: np.ndarray, low: float = 5.0, high: float = 95.0) -> float:
    """Distance between two percentiles."""
    return float(np.subtract(*np.percentile(values, (high, low))))


def lip_opening_range(canonical: np.ndarray) -> float:
    """How far the lips open: 1st to 99th percentile over (T, 478, 3), so that a syllable in some seconds shows.

    Talking makes 8 pixels and more of it, but one syllable with nearly closed lips may be 0.23, and the tracker's
    doubts about the teeth of a photo 4; `lip_motion` tells them apart.
    """
    return spread(lip_opening(canonical[..., :2]), 1, 99)


def lip_motion(canonical: np.ndarray) -> float:
    """How much the lips move within a second: standard deviation, mean over their points, 95th percentile, pixels.

    Photos that are zoomed, panned or grainy have 0.1 to 1.5 (one of a dozen 1.9), people who say a syllable 1.55
    and more, people who talk 1.9, most of them 3.
    """
    points = canonical[:, list(LIPS), :2]
    second = min(int(FPS), len(points))
    spreads = [
        float(np.sqrt(points[start : start + second].var(axis=0).sum(axis=-1)).mean())
        for start in range(0, len(points) - second + 1, 5)
    ]
    return float(np.percentile(spreads, 95))


def mesh_misfit(canonical: np.ndarray) -> float:
    """95th percentile over frames of how far rigid points stray from their median, pixels of the square frame.

    A hand or a microphone before the face throws the mesh about.
    """
    rigid = canonical[:, canonical_face().rigid, :2]
    stray = np.linalg.norm(rigid - np.median(rigid, axis=0), axis=-1).mean(axis=-1)
    return float(np.percentile(stray, 95))


def pauses(wave: np.ndarray, frames: int) -> float:
    """Share of the frames whose audio is `PAUSE_BELOW_SPEECH_DB` below that of the loud ones."""
    power = frame_power(wave, frames)
    return float((power < np.percentile(power, 95) * 10 ** (-PAUSE_BELOW_SPEECH_DB / 10)).mean())


def _stored_sharpness(job: Job) -> float:
    with VideoReader(job.folder / "video.mp4") as video:
        scale = video.width / FRAME
        return float(np.median([sharpness(video[t], job.landmarks[t] * scale) for t in evenly(len(job.landmarks))]))


def run(job: Job) -> None:
    """Collect the figures; each is a finite number, and those of the audio are absent without it."""
    oval = job.landmarks[:, list(FACE_OVAL), :2]
    outside = (oval < 0).any(axis=(1, 2)) | (oval > FRAME).any(axis=(1, 2))
    canonical = to_canonical(job.landmarks.astype(np.float64), job.pose)
    shown = canonical[job.tracked] if job.tracked.any() else canonical
    figures = {
        "tracked": float(job.tracked.mean()),
        "face_px": float(np.median(face_size(job.landmarks))) * job.shot.box.side / FRAME,
        "sharpness": _stored_sharpness(job),
        "yaw_range": spread(job.pose.rotation[:, 1]),
        "yaw_most": float(np.percentile(np.abs(job.pose.rotation[:, 1]), 95)),
        "pitch_range": spread(job.pose.rotation[:, 0]),
        "lip_opening_range": lip_opening_range(shown),
        "lip_motion": lip_motion(shown),
        "mesh_misfit": mesh_misfit(canonical),
        "out_of_crop": float(outside.mean()),
        "jumps": float(job.jumps),
        "people": float(job.shot.people),
    }
    if job.wave is not None:
        figures["loudness_dbfs"] = loudness(job.wave)
        figures["pauses"] = pauses(job.wave, len(job.landmarks))
        figures["clipped"] = float((np.abs(job.wave) >= CLIPPED_AMPLITUDE).mean())
    job.quality = {name: round(value, 4) for name, value in figures.items()}
    if reasons := beyond(job.quality, job.options.limits):
        raise Rejected("; ".join(reasons))


def beyond(figures: dict[str, float], limits: Limits) -> list[str]:
    """In words, the limits that a clip is beyond; without audio the lips need not move."""
    opening, motion = figures.get("lip_opening_range", 0.0), figures.get("lip_motion", 0.0)
    checks = (
        (figures["face_px"] < limits.min_face, f"the face is {figures['face_px']:.0f} px, wanted {limits.min_face:g}"),
        (
            figures["sharpness"] < limits.min_sharpness,
            f"the face is blurred (sharpness {figures['sharpness']:.1f}, wanted {limits.min_sharpness:g})",
        ),
        (
            figures["yaw_most"] > limits.max_yaw,
            f"the head is turned by {figures['yaw_most']:.1f} degrees, wanted {limits.max_yaw:g} at most",
        ),
        (
            "loudness_dbfs" in figures and (opening < limits.min_lip_range or motion < limits.min_lip_motion),
            f"there is audio, but the lips stand still (in a second they move by {motion:.2f} px, wanted "
            f"{limits.min_lip_motion:g}; they open by {opening:.2f} px, wanted {limits.min_lip_range:g}): a photo, or "
            "a person who only listens",
        ),
        (
            figures["out_of_crop"] > limits.max_outside,
            f"the face leaves the crop in {figures['out_of_crop']:.0%} of the frames, wanted {limits.max_outside:.0%}",
        ),
    )
    return [reason for bad, reason in checks if bad]


STEP = Step(
    "quality",
    needs=("info", "span", "jumps", "landmarks", "tracked", "pose", "wave"),
    makes=("quality",),
    version=3,
    run=run,
    settings=lambda options: options.limits.model_dump(include=LIMITS),
)

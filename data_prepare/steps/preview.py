"""What the report shows of a clip: a strip of frames with landmarks, and two curves."""

from __future__ import annotations

import math

import numpy as np

from data_prepare.job import Job, Step
from moda.files import write_json
from moda.geometry import to_canonical
from moda.imaging.landmark_strip import evenly, write_strip
from moda.landmarks import lip_opening
from moda.media.video import VideoReader
from moda.representation import FPS, FRAME, samples_at

MAX_CURVE_POINTS = 300
"""Most values of a curve."""
FLOOR_DBFS = -60.0
"""Level below which audio is drawn as silence."""


def envelope(wave: np.ndarray, frames: int) -> np.ndarray:
    """Level of each frame's audio: (N,) samples -> (frames,) dBFS, not below `FLOOR_DBFS`."""
    wanted = samples_at(frames)
    samples = np.zeros(wanted)
    samples[: min(len(wave), wanted)] = wave[:wanted]
    starts = [samples_at(frame) for frame in range(frames)]
    power = np.add.reduceat(samples**2, starts) / np.diff([*starts, wanted])
    return np.maximum(10.0 * np.log10(np.maximum(power, 1e-12)), FLOOR_DBFS)


def thinned(values: np.ndarray, valid: np.ndarray, digits: int) -> list[float | None]:
    """At most `MAX_CURVE_POINTS` values of a curve (T,): the largest valid one of each part, or None."""
    parts = min(len(values), MAX_CURVE_POINTS)
    starts = [part * len(values) // parts for part in range(parts)]
    largest = np.maximum.reduceat(np.where(valid, values, -np.inf), starts)
    return [round(float(value), digits) if math.isfinite(value) else None for value in largest]


def run(job: Job) -> None:
    """Write preview.jpg and preview.json into the clip's folder.

    preview.json: `seconds`; `lip_opening`, pixels of the square frame at head scale 1, null where
    the face was not tracked; `envelope`, dBFS, empty without audio. Curves are at most `MAX_CURVE_POINTS` long,
    equally spaced over the whole clip.
    """
    frames = len(job.landmarks)
    chosen = evenly(frames)
    with VideoReader(job.folder / "video.mp4") as video:
        pictures = [video[index] for index in chosen]
        scale = video.width / FRAME
    faces = [job.landmarks[index] * scale if job.tracked[index] else None for index in chosen]
    write_strip(job.folder / "preview.jpg", pictures, faces, [job.torso[index] * scale for index in chosen])
    opening = lip_opening(to_canonical(job.landmarks.astype(np.float64), job.pose)[..., :2])
    everywhere = np.ones(frames, bool)
    level = [] if job.wave is None else thinned(envelope(job.wave, frames), everywhere, 1)
    curves = {
        "seconds": round(frames / FPS, 3),
        "lip_opening": thinned(opening, job.tracked, 2),
        "envelope": level,
    }
    write_json(job.folder / "preview.json", curves)
    job.preview = True


STEP = Step(
    "preview",
    needs=("landmarks", "tracked", "pose", "torso", "wave", "offset", "quality"),
    makes=("preview",),
    version=1,
    run=run,
)

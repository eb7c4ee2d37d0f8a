"""Write the arrays, and clip.json last."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_prepare.job import Job, Step
from moda.data.clip import write_json
from moda.errors import OutputError


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an npz; raises `OutputError` if the place cannot be written."""
    try:
        np.savez(path, **arrays)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def source_stamp(source: Path) -> dict[str, int]:
    """Size in bytes and time of change: a source that has the same of both is taken to be the same."""
    status = source.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def run(job: Job) -> None:
    """Write track.npz and motion.npz, then the record that makes the folder a clip."""
    write_arrays(job.folder / "track.npz", {"landmarks": job.landmarks, "tracked": job.tracked})
    write_arrays(
        job.folder / "motion.npz",
        {
            "rotation": job.pose.rotation,
            "translation": job.pose.translation,
            "scale": job.pose.scale,
            "canonical": job.canonical,
            "subject": job.subject,
            "torso": job.torso,
        },
    )
    record = {
        "id": job.clip_id,
        "identity": job.identity,
        "source": job.name,
        "source_folder": str(job.source.parent),
        "source_stamp": source_stamp(job.source),
        "source_picture": [job.info.width, job.info.height],
        "source_fps": job.info.fps,
        "crop": list(job.box),
        "span": list(job.span),
        "frames": len(job.landmarks),
        "has_audio": job.wave is not None,
        "quality": job.quality,
        "steps": job.versions,
    }
    write_json(job.folder / "clip.json", record)
    job.packed = True


STEP = Step(
    "pack",
    needs=("info", "box", "span", "landmarks", "tracked", "wave", "pose", "canonical", "subject", "torso", "quality"),
    makes=("packed",),
    version=1,
    run=run,
)

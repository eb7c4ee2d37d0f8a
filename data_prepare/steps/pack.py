"""What makes a folder a clip: its moments, and clip.json last."""

from __future__ import annotations

from data_prepare.job import Job, Step, offset_record
from moda.data.moments import clip_moments, write_moments
from moda.files import write_json


def run(job: Job) -> None:
    """Write moments.npz and clip.json. Raises `DataError` for values that are not finite."""
    write_moments(job.folder, clip_moments(job.landmarks, job.pose, job.torso, job.subject))
    record = {
        "id": job.clip_id,
        "identity": job.source.identity,
        "source": job.source.name,
        "source_folder": str(job.source.folder),
        "source_picture": [job.info.width, job.info.height],
        "source_fps": job.info.fps,
        "shot": {**job.shot._asdict(), "box": list(job.shot.box)},
        "span": list(job.span),
        "frames": job.frames,
        "has_audio": job.wave is not None,
        "offset": offset_record(job.offset),
        "quality": job.quality,
        "stamps": job.stamps,
    }
    write_json(job.folder / "clip.json", record)
    job.packed = True


STEP = Step(
    "pack",
    needs=("info", "span", "landmarks", "pose", "subject", "torso", "wave", "offset", "quality", "preview"),
    makes=("packed",),
    version=2,
    run=run,
)

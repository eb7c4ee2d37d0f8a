"""What a step made, in files of the clip's folder, so that a later run need not make it again.

Arrays are files of their own (`moda.data.arrays`), small things stand in `made.json`; the audio is
audio.wav. `padded_audio` alone is not kept: it is read again from the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from data_prepare.job import Job, Offset, Span, offset_record
from moda.data.arrays import map_array, map_npy, write_array
from moda.errors import DataError
from moda.files import write_json, write_npy
from moda.media.audio import read_audio, write_wav
from moda.media.video import VideoInfo
from moda.reading import read_json
from moda.representation import HeadPose

MADE = "made.json"
WORK_ARRAYS = {"outlined": 1, "outlines": 2}
"""Arrays that only preparation reads, and their number of axes."""


class Kept(NamedTuple):
    """How an attribute of `Job` is written to a folder and read from it. Files: what it consists of."""

    write: Callable[[Job], Any]
    read: Callable[[Job, Any], Any]


def _array(name: str) -> Kept:
    def write(job: Job) -> None:
        if name in WORK_ARRAYS:
            write_npy(job.folder / f"{name}.npy", getattr(job, name))
        else:
            write_array(job.folder, name, getattr(job, name))

    return Kept(write, lambda job, _: _load(job, name))


def _write_pose(job: Job) -> None:
    for name in ("rotation", "translation", "scale"):
        write_array(job.folder, name, getattr(job.pose, name))


def _read_pose(job: Job, _: Any) -> HeadPose:
    return HeadPose(*(_load(job, name) for name in ("rotation", "translation", "scale")))


def _write_wave(job: Job) -> bool:
    path = job.folder / "audio.wav"
    if job.wave is None:
        path.unlink(missing_ok=True)
    else:
        write_wav(path, job.wave)
        job.wave = read_audio(path)  # later steps see what 16 bits hold, as they will when only they run again
    return job.wave is not None


KEPT: dict[str, Kept] = {
    "info": Kept(lambda job: asdict(job.info), lambda _, value: VideoInfo(**value)),
    "span": Kept(lambda job: list(job.span), lambda _, value: Span(*value)),
    "jumps": Kept(lambda job: job.jumps, lambda _, value: int(value)),
    "landmarks": _array("landmarks"),
    "tracked": _array("tracked"),
    "outlined": _array("outlined"),
    "outlines": _array("outlines"),
    "wave": Kept(_write_wave, lambda job, value: read_audio(job.folder / "audio.wav") if value else None),
    "offset": Kept(lambda job: offset_record(job.offset), lambda _, value: None if value is None else Offset(**value)),
    "pose": Kept(_write_pose, _read_pose),
    "subject": _array("subject"),
    "torso": _array("torso"),
    "quality": Kept(lambda job: job.quality, lambda _, value: dict(value)),
    "preview": Kept(lambda job: True, lambda _, value: True),
    "packed": Kept(lambda job: True, lambda _, value: True),
}


def keep(job: Job, names: tuple[str, ...]) -> None:
    """Write what a step made into the clip's folder."""
    path = job.folder / MADE
    made = read_json(path) if path.is_file() else {}
    for name in names:
        if name in KEPT:
            made[name] = KEPT[name].write(job)
    write_json(path, made)


def recall(job: Job, name: str) -> None:
    """Set an attribute from the clip's folder; raises `DataError` if it is not there or damaged."""
    path = job.folder / MADE
    made = read_json(path)
    if name not in made:
        raise DataError(f"{path} has no '{name}'")
    try:
        if name != "span":  # how long the arrays are
            job.span = KEPT["span"].read(job, made["span"])
        setattr(job, name, KEPT[name].read(job, made[name]))
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"{path}: '{name}' cannot be used: {error}") from error


def _load(job: Job, name: str) -> np.ndarray:
    if name not in WORK_ARRAYS:
        return np.array(map_array(job.folder, name, job.frames))
    path = job.folder / f"{name}.npy"
    array = np.array(map_npy(path))
    if array.ndim != WORK_ARRAYS[name] or array.dtype.kind not in "iuf" or not len(array):
        raise DataError(f"{path} holds {array.dtype} {array.shape}")
    return array

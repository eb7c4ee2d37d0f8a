"""Results of steps in the clip's folder, so that a later run need not compute them again.

Arrays are files of their own (`moda.data.arrays`), small values stand in `made.json`, the audio is audio.wav.
`padded_audio` alone is not stored: it is read again from the source.
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

RESULTS_FILE = "made.json"
PREPARATION_ARRAYS = {"outlined": 1, "outlines": 2}
"""Arrays that only preparation reads, and their number of axes."""


class ResultStorage(NamedTuple):
    """How an attribute of `Job` is stored in its folder. write: returns its value in `made.json`. read: takes that."""

    write: Callable[[Job], Any]
    read: Callable[[Job, Any], Any]


def _array(name: str) -> ResultStorage:
    def write(job: Job) -> None:
        if name in PREPARATION_ARRAYS:
            write_npy(job.folder / f"{name}.npy", getattr(job, name))
        else:
            write_array(job.folder, name, getattr(job, name))

    return ResultStorage(write, lambda job, _: _load(job, name))


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


STORED: dict[str, ResultStorage] = {
    "info": ResultStorage(lambda job: asdict(job.info), lambda _, value: VideoInfo(**value)),
    "span": ResultStorage(lambda job: list(job.span), lambda _, value: Span(*value)),
    "jumps": ResultStorage(lambda job: job.jumps, lambda _, value: int(value)),
    "landmarks": _array("landmarks"),
    "tracked": _array("tracked"),
    "outlined": _array("outlined"),
    "outlines": _array("outlines"),
    "wave": ResultStorage(_write_wave, lambda job, value: read_audio(job.folder / "audio.wav") if value else None),
    "offset": ResultStorage(
        lambda job: offset_record(job.offset), lambda _, value: None if value is None else Offset(**value)
    ),
    "pose": ResultStorage(_write_pose, _read_pose),
    "subject": _array("subject"),
    "torso": _array("torso"),
    "quality": ResultStorage(lambda job: job.quality, lambda _, value: dict(value)),
    "preview": ResultStorage(lambda job: True, lambda _, value: True),
    "packed": ResultStorage(lambda job: True, lambda _, value: True),
}


def store_results(job: Job, names: tuple[str, ...]) -> None:
    """Write attributes that a step has set into the clip's folder."""
    path = job.folder / RESULTS_FILE
    stored = read_json(path) if path.is_file() else {}
    for name in names:
        if name in STORED:
            stored[name] = STORED[name].write(job)
    write_json(path, stored)


def load_result(job: Job, name: str) -> None:
    """Set an attribute from the clip's folder; raises `DataError` if it is not there or damaged."""
    path = job.folder / RESULTS_FILE
    stored = read_json(path)
    if name not in stored:
        raise DataError(f"{path} has no '{name}'")
    try:
        if name != "span":  # how long the arrays are
            job.span = STORED["span"].read(job, stored["span"])
        setattr(job, name, STORED[name].read(job, stored[name]))
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"{path}: '{name}' cannot be used: {error}") from error


def _load(job: Job, name: str) -> np.ndarray:
    if name not in PREPARATION_ARRAYS:
        return np.array(map_array(job.folder, name, job.frames))
    path = job.folder / f"{name}.npy"
    array = np.array(map_npy(path))
    if array.ndim != PREPARATION_ARRAYS[name] or array.dtype.kind not in "iuf" or not len(array):
        raise DataError(f"{path} holds {array.dtype} {array.shape}")
    return array

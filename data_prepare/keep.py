"""What a step made, in files of the clip's folder, so that a later run need not make it again.

Arrays are files of their own (`moda.data.arrays`), small things stand in `made.json`; the sound is
audio.wav. `heard` alone is not kept: it is read again from the source.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prepare.job import Job, Offset, Span, offset_record
from moda.data.clip import write_array
from moda.errors import DataError
from moda.files import write_json, write_npy
from moda.media.audio import read_audio, write_wav
from moda.media.video import VideoInfo
from moda.reading import read_json
from moda.representation import HeadPose

MADE = "made.json"
WORK_ARRAYS = ("outlined", "outlines")
"""Arrays that only preparation reads."""


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

    return Kept(write, lambda job, _: _load(job.folder / f"{name}.npy"))


def _write_pose(job: Job) -> None:
    for name in ("rotation", "translation", "scale"):
        write_array(job.folder, name, getattr(job.pose, name))


def _read_pose(job: Job, _: Any) -> HeadPose:
    return HeadPose(*(_load(job.folder / f"{name}.npy") for name in ("rotation", "translation", "scale")))


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
    made = read_json(job.folder / MADE)
    if name not in made:
        raise DataError(f"{job.folder / MADE} has no '{name}'")
    setattr(job, name, KEPT[name].read(job, made[name]))


def link_folder(source: Path, target: Path) -> None:
    """Fill a folder with hard links to another's files: files are only ever replaced, so the first stays as it is."""
    for path in sorted(source.iterdir()):
        try:
            os.link(path, target / path.name)
        except OSError:  # a file system without hard links
            shutil.copy2(path, target / path.name)


def _load(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}") from error

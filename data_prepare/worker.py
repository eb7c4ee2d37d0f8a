"""The task of one process: scan a video, or make one clip of it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from data_prepare.annotations import Annotations
from data_prepare.job import Job, Rejected
from data_prepare.options import Options
from data_prepare.own_files import CLIP_FILES, check_clip_place, link_files, remove_clip
from data_prepare.scan.shots import Shot
from data_prepare.scan.video import Scan, scan_path, scan_stamp, scan_video, write_scan
from data_prepare.sources.folder import SourceVideo, source_stamp
from data_prepare.step_results import STORED, load_result, store_results
from data_prepare.steps import STEPS
from moda.data.arrays import ARRAYS, map_array
from moda.data.clip import Clip
from moda.errors import DataError, MediaError, ModaError
from moda.files import temporary_folder, write_json
from moda.printing import log_to_stderr

log = logging.getLogger(__name__)
_counter: Synchronized[int] | None = None


@dataclass(frozen=True)
class Task:
    """Scan a video (`shot` is None), or make the clip `clip_id` of one shot of it."""

    out: Path
    source: SourceVideo
    options: Options
    clip_id: str
    shot: Shot | None = None


@dataclass(frozen=True)
class ClipResult:
    """What became of a video's scan or of a clip.

    status: scanned, kept, rejected (not fit; `reason` says why) or failed (an error outside the video,
    tried again next time). step: where it ended. seconds: spent now. ran: steps that were run now.
    """

    task: Task
    status: str
    reason: str = ""
    step: str = ""
    scan: Scan | None = None
    seconds: float = 0.0
    ran: tuple[str, ...] = ()


def initialise(counter: Synchronized[int]) -> None:
    """Set up a worker process: it ends silently on Ctrl-C."""
    global _counter
    _counter = counter
    log_to_stderr(logging.WARNING)
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))


def count_frames(frames: int) -> None:
    """Add to the number of frames that the parent shows."""
    if _counter is not None:
        with _counter.get_lock():
            _counter.value += frames


def work(task: Task) -> ClipResult:
    """Do a task; never raises for a bad video."""
    began = time.monotonic()
    clip = None if task.shot is None else ClipMaker(task)
    scan, status, reason = None, "kept", ""
    try:
        if clip is None:
            scan, status = _scan(task), "scanned"
        else:
            clip.make()
    except (Rejected, MediaError) as error:
        status, reason = "rejected", str(error)
    except ModaError as error:
        status, reason = "failed", str(error)
    except OSError as error:
        status, reason = "failed", f"{error.strerror or error}: {error.filename or task.source.path}"
    except Exception as error:  # one broken video must not end a run of many
        step = "scan" if clip is None else clip.step
        log.error("%s, step %s:\n%s", task.source.name, step, traceback.format_exc())
        status, reason = "failed", f"{type(error).__name__}: {error}"
    step, ran = ("scan", ()) if clip is None else (clip.step, tuple(clip.ran))
    if status == "rejected" and clip is not None:
        try:
            remember_rejection(task, reason, step)
        except (ModaError, OSError) as error:
            status, reason = "failed", f"{reason} (and that cannot be stored: {error})"
    done = status in ("kept", "scanned")
    return ClipResult(task, status, reason, "" if done else step, scan, round(time.monotonic() - began, 2), ran)


def _scan(task: Task) -> Scan:
    """Scan a video and store what was seen; of a video that is not fit, the reason."""
    path, stamp = scan_path(task.out, task.source), scan_stamp(task.source, task.options)
    try:
        scan = scan_video(task.source, path.parent, task.options, count_frames)
    except (Rejected, MediaError) as error:
        scan = Scan((), 0, str(error))
    write_scan(path, scan, stamp)
    return scan


RENAMED_STEPS = {"sound": "audio"}
"""Names of steps in stores of earlier versions -> today's."""


def task_stamps(task: Task) -> dict[str, Any]:
    """What a clip depends on: its source and shot, and every step. Raises `DataError` for wrong annotations."""
    assert task.shot is not None
    annotations = Annotations.find(task.options.annotations, task.source.video)
    stamp = {
        "source": {**source_stamp(task.source.path), "name": task.source.name, "shot": [*task.shot]},
        "steps": {step.name: step.stamp(task.options, annotations) for step in STEPS},
    }
    return dict(json.loads(json.dumps(stamp)))  # as it comes back from a file


def outdated(record: dict[str, Any], wanted: dict[str, Any]) -> set[str]:
    """Names of the steps to run: those whose stamp changed and those that need what they make.

    record: what `task_stamps` returned when the clip was made ({} if there is none). A step whose result is
    not stored runs too if one that needs it does.
    """
    if record.get("source") != wanted["source"]:
        return {step.name for step in STEPS}
    steps = record.get("steps")
    before = steps if isinstance(steps, dict) else {}
    stale: set[str] = set()
    remade: set[str] = set()
    for step in STEPS:
        if before.get(step.name) != wanted["steps"][step.name] or remade.intersection(step.needs):
            stale.add(step.name)
            remade.update(step.makes)
    makers = {name: step for step in STEPS for name in step.makes}
    for step in reversed(STEPS):
        if step.name in stale:
            stale |= {makers[name].name for name in step.needs if name not in STORED}
    return stale


def stored_stamps(folder: Path) -> dict[str, Any]:
    """The stamps of a finished clip; {} if there is none, or one of its files is missing or cut short."""
    try:
        clip = Clip.open(folder)
        for name in ARRAYS:
            map_array(folder, name, clip.frames)
        clip.moments(["face"])
    except DataError:
        return {}
    files = [clip.video_path, *([clip.audio_path] if clip.has_audio else [])]
    stamps = current_stamps(clip.record)
    return stamps if all(path.is_file() for path in files) else {}


def current_stamps(record: Mapping[str, Any]) -> dict[str, Any]:
    """The stamps in a clip's or a rejection's record, with today's names of steps; {} if there are none."""
    stamps = record.get("stamps")
    if not isinstance(stamps, dict):
        return {}
    steps = stamps.get("steps")
    if isinstance(steps, dict):
        stamps = stamps | {"steps": {RENAMED_STEPS.get(name, name): stamp for name, stamp in steps.items()}}
    return stamps


class ClipMaker:
    """Makes one clip. step: name of the step that runs, or ran last. ran: names of those that were run."""

    def __init__(self, task: Task, tick: Callable[[int], None] = count_frames) -> None:
        assert task.shot is not None
        self.task, self._tick = task, tick
        self.step = "clip"
        self.ran: list[str] = []

    def make(self) -> None:
        """Make the clip under a temporary name and rename it into place; what is up to date of an older one stays.

        If that is damaged, everything is made. Raises what a step raises; an older clip stays then, unless the video
        is no longer fit.
        """
        task, final = self.task, self.task.out / "clips" / self.task.clip_id
        check_clip_place(final)
        wanted = task_stamps(task)
        to_run = outdated(stored_stamps(final), wanted)
        try:
            if len(to_run) < len(STEPS):
                try:
                    return self._make(final, wanted, to_run)
                except (DataError, MediaError) as error:
                    log.warning("%s is made from nothing, something in it is damaged: %s", final, error)
                    self.ran.clear()
            self._make(final, wanted, {step.name for step in STEPS})
        except (Rejected, MediaError):
            remove_clip(final)
            raise

    def _make(self, final: Path, wanted: dict[str, Any], to_run: set[str]) -> None:
        everything = len(to_run) == len(STEPS)
        with temporary_folder(final) as folder:
            link_files(final, folder, lambda name: not everything or name not in CLIP_FILES)
            self._run_steps(self._job(folder, wanted), to_run)
            _replace(folder, final)

    def _job(self, folder: Path, stamps: dict[str, Any]) -> Job:
        task = self.task
        assert task.shot is not None
        annotations = Annotations.find(task.options.annotations, task.source.video)
        return Job(task.clip_id, task.source, task.shot, folder, task.options, annotations, self._tick, stamps)

    def _run_steps(self, job: Job, to_run: set[str]) -> None:
        """Run steps in a clip's temporary folder, which holds the results of the others."""
        known: set[str] = set()
        for step in STEPS:
            if step.name not in to_run:
                continue
            self.step = step.name
            for name in step.needs:
                if name not in known:
                    load_result(job, name)
                    known.add(name)
            step.run(job)
            if missing := [name for name in step.makes if not hasattr(job, name)]:
                raise RuntimeError(f"step '{step.name}' did not make {missing}")
            store_results(job, step.makes)
            known.update(step.makes)
            self.ran.append(step.name)


def _replace(folder: Path, final: Path) -> None:
    """Put a finished folder in the place of an older one; between the two moves there is no clip, never half of one.

    What else lay in the older one has been linked into the new one.
    """
    if not final.exists():
        os.replace(folder, final)
        return
    with temporary_folder(final) as old:
        os.replace(final, old)
        os.replace(folder, final)
        shutil.rmtree(old, ignore_errors=True)


def rejection_path(task: Task) -> Path:
    """Where the reason is stored for which a shot was rejected."""
    return task.out / "rejected" / f"{task.clip_id}.json"


def remember_rejection(task: Task, reason: str, step: str) -> None:
    """Store why a shot is not fit, so that the next run need not find out again."""
    write_json(rejection_path(task), {"stamps": task_stamps(task), "reason": reason, "step": step})

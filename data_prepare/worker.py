"""All steps for one video: what one process does."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from data_prepare.job import Job, Options, Rejected
from data_prepare.sources import Source
from data_prepare.steps import STEPS, VERSIONS
from data_prepare.steps.pack import source_stamp
from moda.data.clip import read_json, write_json
from moda.errors import DataError, MediaError, ModaError
from moda.media.threads import use_one_thread

log = logging.getLogger(__name__)
_counter: Synchronized[int] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one video. status: kept, rejected (not fit; `reason` says why) or failed (an error)."""

    id: str
    source: str
    status: str
    reason: str = ""
    step: str = ""
    seconds: float = 0.0
    frames: int = 0
    skipped: bool = False


def initialise(counter: Synchronized[int]) -> None:
    """Set up a worker process: one thread, silent end on Ctrl-C, end when the parent is gone."""
    global _counter
    _counter = counter
    use_one_thread()
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def count_frames(frames: int) -> None:
    """Add to the number of frames that the parent shows."""
    if _counter is not None:
        with _counter.get_lock():
            _counter.value += frames


def up_to_date(clips: Path, source: Source, allow_silent: bool = True) -> int | None:
    """Frames of the finished clip of this source if it needs no work, else None.

    A changed identity alone is written into clip.json. Raises `DataError` if the clip was made from
    another source of the same name in another folder.
    """
    path = clips / source.clip_id / "clip.json"
    if not path.is_file():
        return None
    try:
        record = read_json(path)
    except DataError:
        return None
    same = record.get("source_stamp") == source_stamp(source.path)
    folder = str(source.path.absolute().parent)
    if not same and record.get("source_folder") != folder and Path(str(record.get("source_folder"))).is_dir():
        raise DataError(
            f"the store already has a clip '{source.clip_id}' of {record.get('source_folder')}/; "
            "prepare this folder into another store"
        )
    wanted_sound = bool(record.get("has_audio")) or allow_silent
    if not same or record.get("source") != source.name or record.get("steps") != VERSIONS or not wanted_sound:
        return None
    if record.get("identity") != source.identity:
        write_json(path, {**record, "identity": source.identity})
    return int(record["frames"])


def prepare_clip(clips: Path, source: Source, options: Options, tick: Callable[[int], None] = count_frames) -> Outcome:
    """Make one clip under a temporary name and rename it into place; never raises for a bad video.

    An older clip of that id is replaced, or removed if its source is no longer fit.
    """
    began = time.monotonic()
    final, folder = clips / source.clip_id, clips / f".{source.clip_id}.tmp"
    step_name = ""
    status, reason, frames = "kept", "", 0
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        job = Job(source.path, source.name, source.clip_id, source.identity, folder, options, VERSIONS, tick)
        for step in STEPS:
            step_name = step.name
            step.run(job)
            if forgotten := [name for name in step.makes if not hasattr(job, name)]:
                raise RuntimeError(f"step '{step.name}' did not make {forgotten}")
        frames = len(job.landmarks)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(folder, final)
        step_name = ""
    except (Rejected, MediaError) as error:
        status, reason = "rejected", str(error)
        shutil.rmtree(final, ignore_errors=True)
    except ModaError as error:
        status, reason = "failed", str(error)
    except Exception as error:  # one broken video must not end a run of many
        log.error("%s, step %s:\n%s", source.name, step_name, traceback.format_exc())
        status, reason = "failed", f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = round(time.monotonic() - began, 2)
    return Outcome(source.clip_id, source.name, status, reason, step_name, seconds, frames)

"""Photographs of one face each become a photo store (`moda.data.photos`): tracked as a reference picture is."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from data_prepare.sources.folder import clip_ids, read_include, source_stamp
from data_prepare.sources.videos import find_files
from moda.data.photos import FORMAT, KEPT, REJECTED, arrays_of
from moda.errors import DataError, ModaError, OutputError
from moda.files import clear_litter, hold, make_folder, write_json, write_npz
from moda.imaging.crop import crop_square
from moda.media.picture import read_picture
from moda.processes import Pool
from moda.reading import read_json
from moda.tracking.portrait import make_reference

PHOTO_EXTENSIONS = frozenset(".avif .bmp .gif .jp2 .jpeg .jpg .png .ppm .qoi .tif .tiff .webp".split(" "))  # noqa: SIM905
FAILED = "failed"
DIED = "its process ended without an error message (out of memory?)"


@dataclass(frozen=True)
class PhotoTask:
    """A photograph to prepare. name: relative to `folder`. size: largest side of what is stored, pixels."""

    folder: Path
    name: str
    out: Path
    photo_id: str
    size: int

    @property
    def record(self) -> Path:
        """Its .json in the store."""
        return self.out / "photos" / f"{self.photo_id}.json"

    @property
    def arrays(self) -> Path:
        """Its .npz in the store."""
        return self.record.with_suffix(".npz")


@dataclass(frozen=True)
class PhotoResult:
    """What became of a photograph: kept, rejected or failed, and why."""

    name: str
    status: str
    reason: str = ""


def prepare_photos(
    folder: Path,
    out: Path,
    *,
    size: int,
    jobs: int = 1,
    include: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[PhotoResult]:
    """Prepare all photographs below `folder` (or those a list names) into the store `out`; again: what is missing.

    Those of this folder that are no longer there, or no longer listed, leave the store. Raises `DataError` or
    `OutputError` for what concerns the whole run; a bad photograph is a result.
    """
    names = find_files(folder, PHOTO_EXTENSIONS, "photographs", skip=out)
    if not names:
        raise DataError(f"no photographs in {folder} (looked for {' '.join(sorted(PHOTO_EXTENSIONS))})")
    ids = clip_ids(names)
    chosen = names if include is None else read_include(include, names, "photographs")
    tasks = [PhotoTask(folder.resolve(), name, out, ids[name], size) for name in chosen]
    _create(out, size)
    with hold(out / ".lock", f"another preparation is writing into {out}: wait for it, or choose another folder"):
        clear_litter(out / "photos")
        _remove_others(out, folder, {task.photo_id for task in tasks})
        results = {task.name: known for task in tasks if (known := _known(task)) is not None}
        waiting = [task for task in tasks if task.name not in results]
        on_progress(len(results), len(tasks))
        pool: Pool[PhotoTask, PhotoResult] = Pool(prepare_photo, _quiet, max(1, jobs))
        for task, result in pool.run(waiting):
            results[task.name] = result or PhotoResult(task.name, FAILED, DIED)
            on_progress(len(results), len(tasks))
    return [results[name] for name in chosen]


def prepare_photo(task: PhotoTask) -> PhotoResult:
    """Track one photograph and write its files; a kind of picture that cannot be used is rejected, and recorded."""
    source = task.folder / task.name
    try:
        stamp = _stamp(task)
        try:
            made = make_reference(read_picture(source), task.size, source=task.name)
        except ModaError as error:
            _forget(task.arrays)
            write_json(task.record, _entry(task, stamp, REJECTED, str(error)))
            return PhotoResult(task.name, REJECTED, str(error))
        square = crop_square(made.picture, made.box, min(task.size, made.box.side))
        write_npz(task.arrays, arrays_of(made.portrait, square), compress=True)
        write_json(task.record, _entry(task, stamp, KEPT, ""))
    except (ModaError, OSError, ValueError, RuntimeError) as error:
        return PhotoResult(task.name, FAILED, str(error) or type(error).__name__)
    return PhotoResult(task.name, KEPT)


def _stamp(task: PhotoTask) -> dict[str, int]:
    return {**source_stamp(task.folder / task.name), "size": task.size}


def _entry(task: PhotoTask, stamp: dict[str, int], status: str, reason: str) -> dict[str, Any]:
    return {"file": task.name, "folder": str(task.folder), "stamp": stamp, "status": status, "reason": reason}


def _known(task: PhotoTask) -> PhotoResult | None:
    """The result of an earlier run, if the photograph is as it was then."""
    with contextlib.suppress(DataError, OSError):
        record = read_json(task.record)
        whole = record.get("status") == REJECTED or (record.get("status") == KEPT and task.arrays.is_file())
        same = (record.get("file"), record.get("folder")) == (task.name, str(task.folder))
        if whole and same and record.get("stamp") == _stamp(task):
            return PhotoResult(task.name, record["status"], str(record.get("reason")))
    return None


def _create(out: Path, size: int) -> None:
    """Make an empty store, or check the one that is there."""
    path = out / "photos.json"
    if path.exists():
        record = read_json(path)
        if (record.get("format"), record.get("size")) != (FORMAT, size):
            raise DataError(
                f"photo store {out} has format {record.get('format')!r} and size {record.get('size')!r}, wanted "
                f"{FORMAT} and {size}: choose another folder or that size"
            )
    elif (out / "photos").exists() and any((out / "photos").glob("[!.]*")):
        raise OutputError(f"{out} is no photo store (it has no photos.json), but holds photos: choose another folder")
    make_folder(out / "photos")
    write_json(path, {"format": FORMAT, "size": size})


def _remove_others(out: Path, folder: Path, wanted: Iterable[str]) -> None:
    """Remove what came from this folder and is not `wanted` any more; another folder's photographs stay."""
    kept = set(wanted)
    for record in (out / "photos").glob("[!.]*.json"):
        if record.stem in kept:
            continue
        with contextlib.suppress(DataError):
            if read_json(record).get("folder") == str(folder.resolve()):
                _forget(record)
                _forget(record.with_suffix(".npz"))


def _forget(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _quiet(counter: Synchronized[int]) -> None:
    """What is assumed of a face is a remark to who animates it, not here."""
    logging.getLogger("moda.tracking").setLevel(logging.ERROR)

"""Many videos: scans and clips in several processes, resume, the report and the splits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_prepare.forecast import Forecast
from data_prepare.on_ray import RayPool
from data_prepare.options import Options
from data_prepare.own_files import check_place, remove_clip
from data_prepare.report.page import write_page
from data_prepare.report.record import Report, ReportRow
from data_prepare.scan.video import Scan, read_scan, scan_path, scan_stamp
from data_prepare.sources.folder import SourceVideo, video_of_shot
from data_prepare.sources.shard import Shard
from data_prepare.sources.videos import STORE_FOLDERS
from data_prepare.split_lists import PublishedLists
from data_prepare.splits import SplitRule, Splits
from data_prepare.store_splits import readable_clips, write_splits
from data_prepare.worker import (
    RENAMED_STEPS,
    ClipResult,
    Task,
    current_stamps,
    initialise,
    outdated,
    rejection_path,
    stored_stamps,
    task_stamps,
    work,
)
from moda.data.store import SPLITS, ClipStore
from moda.errors import DataError, OutputError
from moda.files import SUFFIX as TEMPORARY
from moda.files import clear_litter, hold, write_json
from moda.processes import Pool
from moda.reading import read_json

DIED = "its process ended without an error message (out of memory?)"


@dataclass(frozen=True)
class PreparationProgress:
    """Where a run stands. done, total: videos and clips. frames: decoded so far, of about `expected`. eta: seconds to
    go, or None.
    """

    done: int
    total: int
    frames: int
    expected: int
    seconds: float
    eta: float | None


def prepare(
    sources: Sequence[SourceVideo],
    out: Path,
    options: Options,
    *,
    rule: SplitRule | PublishedLists,
    jobs: int = 1,
    missing: Sequence[tuple[str, str]] = (),
    on_progress: Callable[[PreparationProgress], None] = lambda progress: None,
    shard: Shard | None = None,
    ray: bool = False,
) -> Report:
    """Prepare videos into the store at `out`; the same call again does what is missing.

    missing: clips that are wanted but whose video is not there, and why, for the report.
    shard: only its part of the sources, and no lists and no report, which a call without it writes for all at the end;
    several shards may write one store at once. What is returned has then empty lists.
    ray: the work is done on a Ray cluster, see `on_ray`, and not by `jobs` processes here.
    Raises `DataError`, `ConfigError` or `OutputError` for mistakes that concern the whole run; a bad
    video is a row of the report, which is also written to out/report.json and out/report.html.
    """
    began = time.monotonic()
    check_place(out)
    store = ClipStore.create(out, options.size)
    if shard is not None:
        sources = shard.of(sources)
    with _locked(out, shard):
        _check_owners(store, sources)
        store.remove_index()
        store = ClipStore.open(out)
        results = _Run(options, jobs, began, on_progress, ray=ray).results(sources, out)
        if shard is not None:
            nowhere = Splits({name: [] for name in SPLITS}, {})
            rows = tuple(_row(out, result, nowhere) for result in results)
            return Report(rows, nowhere, (), options, time.monotonic() - began)
        _remove_orphans(store, results)
        whole = all(result.status != "failed" for result in results)
        ClipStore.open(out).write_index()
        splits = write_splits(ClipStore.open(out), rule, whole=whole)
        rows = tuple(_row(out, result, splits) for result in results)
        report = Report(rows, splits, tuple(missing), options, time.monotonic() - began)
        write_json(out / "report.json", report.as_json())
        write_page(out, report.as_json())
    return report


@contextmanager
def _locked(out: Path, shard: Shard | None = None) -> Iterator[None]:
    """Hold the store for one run, or for a shard beside others; raises `OutputError` if it cannot be had.

    A run clears what killed ones left. A shard does not: where locks do not reach from one machine to the other, what
    another shard is writing looks the same. What is left of its own clips goes when they are made again.
    """
    with contextlib.ExitStack() as held:
        busy = f"another preparation is writing into {out}: wait for it, or choose another folder"
        held.enter_context(hold(out / ".lock", busy, shared=shard is not None))
        if shard is None:
            clear_litter(out)
        else:
            # of the form of a temporary file, so that the run that merges the shards removes it
            own = out / f".shard-{shard.number}-of-{shard.count}.lock0{TEMPORARY}"
            held.enter_context(hold(own, f"shard {shard} is being written into {out} by another process: wait for it"))
        for folder in (out / name for name in STORE_FOLDERS):
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot write into {out}: {error.strerror}") from error
            if shard is None and not folder.is_symlink():
                clear_litter(folder)
        yield


def _check_owners(store: ClipStore, sources: Sequence[SourceVideo]) -> None:
    """Refuse a folder of videos whose names are those of another folder's clips in this store."""
    here = {source.clip_id: source for source in sources}
    for clip_id in store.ids:
        source = here.get(clip_id) or here.get(video_of_shot(clip_id) or "")
        if source is None:
            continue
        try:
            folder = Path(str(store.clip(clip_id).record.get("source_folder")))
        except DataError:
            continue  # damaged: it is made again
        if folder.resolve() != source.folder.resolve() and folder.is_dir():
            raise DataError(
                f"the store already has a clip '{clip_id}' of {folder}/; prepare {source.folder}/ into another store"
            )


class _Run:
    """The scans and clips of one call: what is done so far, and how much is still to be done."""

    def __init__(
        self,
        options: Options,
        jobs: int,
        began: float,
        on_progress: Callable[[PreparationProgress], None],
        *,
        ray: bool = False,
    ) -> None:
        self._options, self._began, self._on_progress = options, began, on_progress
        self._results: dict[str, list[ClipResult]] = {}
        self._done = self._total = 0
        self._forecast = Forecast((), 0)
        self._pool: Pool[Task, ClipResult] | RayPool[Task, ClipResult] = (
            RayPool(work, max(1, jobs)) if ray else Pool(work, initialise, max(1, jobs), self._report)
        )

    def results(self, sources: Sequence[SourceVideo], out: Path) -> list[ClipResult]:
        """Of all clips, and of videos without one, in the order of the sources and their shots."""
        self._results = {source.clip_id: [] for source in sources}
        self._total = len(sources)
        self._report()
        waiting: list[Task] = []
        for task in [Task(out, source, self._options, source.clip_id) for source in sources]:
            known = scanned(task)
            if known is None:
                waiting.append(task)
            else:
                self._note(known)
                waiting += self._clips_of(known)
        clip_frames = sum(task.shot.stop - task.shot.start for task in waiting if task.shot is not None)
        self._forecast = Forecast([task.source for task in waiting if task.shot is None], clip_frames)
        for task, result in self._pool.run(waiting, self._clips_of):
            self._note(result or ClipResult(task, "failed", DIED, "scan" if task.shot is None else "clip"))
            self._report()
        by_source = (self._results[source.clip_id] for source in sources)
        return [result for results in by_source for result in sorted(results, key=lambda each: each.task.clip_id)]

    def _report(self) -> None:
        seconds, frames = time.monotonic() - self._began, self._pool.counter.value
        self._forecast.read_next_length()
        expected = frames if self._done == self._total else max(self._forecast.frames, frames)
        eta = seconds / self._done * (self._total - self._done) if self._done else None
        if 0 < frames < expected:
            eta = seconds / frames * (expected - frames)
        self._on_progress(PreparationProgress(self._done, self._total, frames, expected, seconds, eta))

    def _note(self, result: ClipResult) -> None:
        self._done += 1
        if result.scan is not None and not result.scan.shots:
            result = ClipResult(result.task, "rejected", result.scan.reason, "scan")
        if result.status != "scanned":
            self._results[result.task.source.clip_id].append(result)

    def _clips_of(self, result: ClipResult) -> list[Task]:
        """The clips of a scanned video that are to be made; those that are up to date are noted at once."""
        tasks = []
        for task in clip_tasks(result.task, result.scan):
            self._total += 1
            known = finished(task)
            if known is None:
                tasks.append(task)
            else:
                self._note(known)
        return tasks


def scanned(task: Task) -> ClipResult | None:
    """The scan of an earlier run; None if there is none, or the video has changed."""
    try:
        scan = read_scan(scan_path(task.out, task.source), scan_stamp(task.source, task.options))
    except (DataError, OSError):
        return None  # the worker reports what is wrong
    return None if scan is None else ClipResult(task, "scanned", scan=scan)


def clip_tasks(task: Task, scan: Scan | None) -> list[Task]:
    """A task for every shot of a scanned video: `<id>`, or `<id>_000` and on where there are several."""
    if scan is None:
        return []
    several = len(scan.shots) > 1
    ids = [f"{task.clip_id}_{number:03d}" if several else task.clip_id for number in range(len(scan.shots))]
    return [
        Task(task.out, task.source, task.options, clip_id, shot) for clip_id, shot in zip(ids, scan.shots, strict=True)
    ]


def finished(task: Task) -> ClipResult | None:
    """The result of an earlier run for a clip that needs no work: it is there, or it was rejected; else None.

    A changed identity alone is written into clip.json.
    """
    try:
        wanted = task_stamps(task)
    except (DataError, OSError):
        return None  # the worker reports what is wrong
    folder = task.out / "clips" / task.clip_id
    if not outdated(stored_stamps(folder), wanted):
        record = read_json(folder / "clip.json")
        if record.get("identity") != task.source.identity:
            write_json(folder / "clip.json", {**record, "identity": task.source.identity})
        return ClipResult(task, "kept")
    path = rejection_path(task)
    if path.is_file():
        with contextlib.suppress(DataError):  # damaged: the clip is made again
            record = read_json(path)
            if current_stamps(record) == wanted:
                step = str(record.get("step"))
                return ClipResult(task, "rejected", str(record.get("reason")), RENAMED_STEPS.get(step, step))
    return None


def _remove_orphans(store: ClipStore, results: Sequence[ClipResult]) -> None:
    """Remove clips of these videos that are no shot of theirs any more, and old rejections of clips that were made."""
    kept = {result.task.clip_id for result in results if result.status == "kept"}
    failed = {result.task.clip_id for result in results if result.status == "failed"}
    names = {(str(result.task.source.folder), result.task.source.name) for result in results}
    for clip in readable_clips(store):
        ours = (clip.record.get("source_folder"), clip.record.get("source")) in names
        if ours and clip.id not in kept | failed and not any(clip.id.startswith(f"{name}_") for name in failed):
            remove_clip(clip.folder)
    for result in results:
        if result.status == "kept":
            with contextlib.suppress(OSError):
                rejection_path(result.task).unlink()


def _row(out: Path, result: ClipResult, splits: Splits) -> ReportRow:
    task = result.task
    record = {}
    if result.status == "kept":
        record = read_json(out / "clips" / task.clip_id / "clip.json")
    return ReportRow.of(out, result, record, splits.identities.get(task.source.identity, ""))

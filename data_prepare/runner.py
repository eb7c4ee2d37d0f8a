"""Many videos: processes, resume, the report and the splits."""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_prepare.job import Options
from data_prepare.sources import Source, find_sources
from data_prepare.splits import SplitRule, assign
from data_prepare.worker import Outcome, initialise, prepare_clip, up_to_date
from moda.data.clip import SPLITS, ClipStore, read_json, write_json
from moda.errors import DataError, OutputError
from moda.representation import FPS

log = logging.getLogger(__name__)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Progress:
    """Where a run stands. frames: looked at so far, by all processes. eta: seconds to go, or None."""

    done: int
    total: int
    frames: int
    seconds: float
    eta: float | None
    latest: Outcome | None


@dataclass(frozen=True)
class Report:
    """The end of a run: what became of every video, and who is in which split (clips of the whole store)."""

    outcomes: tuple[Outcome, ...]
    splits: dict[str, list[str]]
    identities: dict[str, int]
    """Number of identities by split."""
    seconds: float

    @property
    def complete(self) -> bool:
        """Every video was kept."""
        return all(outcome.status == "kept" for outcome in self.outcomes)

    def as_json(self) -> dict[str, Any]:
        """What report.json holds."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        totals = {
            "videos": len(self.outcomes),
            **{status: counts[status] for status in ("kept", "rejected", "failed")},
            "skipped_as_up_to_date": sum(outcome.skipped for outcome in self.outcomes),
            "frames": sum(outcome.frames for outcome in self.outcomes),
            "minutes": round(sum(outcome.frames for outcome in self.outcomes) / FPS / 60, 3),
            "seconds": round(self.seconds, 2),
        }
        return {
            "totals": totals,
            "identities": self.identities,
            "clips": [asdict(outcome) for outcome in self.outcomes],
        }


def prepare(
    videos: Path,
    out: Path,
    options: Options,
    *,
    rule: SplitRule,
    jobs: int = 1,
    include: Path | None = None,
    identities: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Report:
    """Prepare a folder of videos into the store at `out`; the same call again does what is missing.

    Raises `DataError`, `ConfigError` or `OutputError` for mistakes that concern the whole run; a bad
    video is an `Outcome` in the report, which is also written to out/report.json.
    """
    began = time.monotonic()
    sources = find_sources(videos, out, include, identities)
    store = ClipStore.create(out, options.size)
    with _locked(out):
        outcomes, waiting = _already_there(store, sources, options)
        for outcome in _run_all(store.root / "clips", waiting, options, jobs, len(outcomes), began, on_progress):
            outcomes[outcome.source] = outcome
        splits, people = write_splits(ClipStore.open(out), rule)
        ordered = tuple(outcomes[source.name] for source in sources)
        report = Report(ordered, splits, people, time.monotonic() - began)
        write_json(out / "report.json", report.as_json())
    return report


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the store for one run; raises `OutputError` if it is held or cannot be written."""
    try:
        lock = (out / ".lock").open("w")
        (out / "clips").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(
                f"another preparation is writing into {out}: wait for it, or choose another folder"
            ) from error
        yield


def _already_there(
    store: ClipStore, sources: Sequence[Source], options: Options
) -> tuple[dict[str, Outcome], list[Source]]:
    outcomes: dict[str, Outcome] = {}
    waiting = []
    for source in sources:
        try:
            frames = up_to_date(store.root / "clips", source, options.allow_silent)
        except (DataError, OSError) as error:
            outcomes[source.name] = Outcome(source.clip_id, source.name, "failed", str(error), "resume")
            continue
        if frames is None:
            waiting.append(source)
        else:
            outcomes[source.name] = Outcome(source.clip_id, source.name, "kept", frames=frames, skipped=True)
    return outcomes, waiting


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside use one thread in numerical libraries."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _run_all(
    clips: Path,
    sources: Sequence[Source],
    options: Options,
    jobs: int,
    already: int,
    began: float,
    on_progress: Callable[[Progress], None],
) -> Iterator[Outcome]:
    """Prepare in `jobs` processes; a video whose process dies is tried once more, alone, then called failed."""
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    done: list[Outcome] = []

    def report(latest: Outcome | None) -> None:
        seconds = time.monotonic() - began
        left = len(sources) - len(done)
        eta = seconds / len(done) * left if done else None
        on_progress(Progress(already + len(done), already + len(sources), counter.value, seconds, eta, latest))

    def work(batch: Sequence[Source], processes: int) -> Iterator[Outcome | Source]:
        """Outcomes, and those sources that were on the way when a process died."""
        with ProcessPoolExecutor(processes, context, initialise, (counter,)) as pool:
            futures: dict[Future[Outcome], Source] = {
                pool.submit(prepare_clip, clips, source, options): source for source in batch
            }
            try:
                while futures:
                    ready, _ = wait(futures, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                    for future in ready:
                        source = futures.pop(future)
                        yield source if isinstance(future.exception(), BrokenProcessPool) else future.result()
                    if not ready:
                        report(None)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()
                raise

    report(None)
    if not sources:
        return
    with _one_thread_each():
        again: list[Source] = []
        for result in work(sources, max(1, min(jobs, len(sources)))):
            if isinstance(result, Source):
                again.append(result)
                continue
            done.append(result)
            report(result)
            yield result
        for source in again:
            result = next(iter(work([source], 1)))
            if isinstance(result, Source):
                result = Outcome(source.clip_id, source.name, "failed", "its process ended without a word (memory?)")
            done.append(result)
            report(result)
            yield result


def write_splits(store: ClipStore, rule: SplitRule) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Write the lists for all clips of the store; returns them and the number of identities of each.

    Under the same rule, identities stay in the split where they were, so that a store can grow
    without a person moving from the test list into the training list.
    """
    path = store.root / "splits" / "rule.json"
    rule_record = {"shares": list(rule.shares.values()), "seed": rule.seed}
    clips = [store.clip(clip_id) for clip_id in store.ids]
    frames: Counter[str] = Counter()
    for clip in clips:
        frames[clip.identity] += clip.frames
    fixed: dict[str, str] = {}
    if path.is_file():
        before = read_json(path)
        if {key: before.get(key) for key in rule_record} == rule_record:
            fixed = dict(before.get("identities", {}))
    where = assign(frames, rule, fixed)
    splits = {name: [clip.id for clip in clips if where[clip.identity] == name] for name in SPLITS}
    store.write_splits(splits)
    write_json(path, {**rule_record, "identities": {**fixed, **where}})
    people = Counter(where.values())
    return splits, {name: people[name] for name in SPLITS}

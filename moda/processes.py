"""Worker processes: they end with the process that started them, also where that was killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Cores that this process may use: under a scheduler fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Call it first in a worker process: a pool's worker would else wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def in_processes(
    work: Callable[[Job], Result], jobs: Sequence[Job], count: int, begin: Callable[[], None] = end_with_parent
) -> Iterator[tuple[Job, Result | None]]:
    """Each job and its result, as they finish, by up to `count` processes; None where the process died.

    begin: called first in each process, `end_with_parent` among it. Processes are fresh, since a forked one would
    inherit native threads in an unknown state.
    """
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(count, len(jobs)), mp_context=context, initializer=begin)
    try:
        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(list(futures)):
            job = futures.pop(future)  # with its result, which is the caller's to keep
            result: Result | None = None
            with contextlib.suppress(BrokenProcessPool):
                result = future.result()
            del future
            yield job, result
    finally:
        pool.shutdown(cancel_futures=True)


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)

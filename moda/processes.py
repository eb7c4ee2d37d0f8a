"""Worker processes: they end with the process that started them, also where that was killed, and one that dies takes
nobody's work with it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from typing import Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")

POLL_SECONDS = 0.5
GRACE_SECONDS = 2.0
"""For a process that is to end, before it is killed."""
TASKS_A_PROCESS = 2
"""Tasks that are handed to the pool for each process; the rest waits here, in order."""


def usable_cores() -> int:
    """Cores that this process may use: under a scheduler fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Call it first in a worker process: a pool's worker would else wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


class Pool(Generic[Task, Result]):
    """Processes, started afresh, that do `work`: a forked one would inherit native threads in an unknown state.

    counter: shared with `initialise`, which runs first in each.
    """

    def __init__(
        self,
        work: Callable[[Task], Result],
        initialise: Callable[[Synchronized[int]], None],
        processes: int,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = multiprocessing.get_context("spawn")
        self.counter = self._context.Value("q", 0)
        self._work, self._initialise, self._processes, self._on_wait = work, initialise, processes, on_wait

    def run(
        self, tasks: Sequence[Task], more: Callable[[Result], Sequence[Task]] = lambda result: ()
    ) -> Iterator[tuple[Task, Result | None]]:
        """Do all tasks, and those that `more` makes of a result, next; yields results as they come.

        A task whose process dies is tried once more, alone; if it dies again its result is None.
        """
        waiting = deque(tasks)
        with _one_thread_each():
            while waiting:
                again: list[Task] = []
                for task, result in self._batch(waiting, self._processes, more):
                    if result is None:
                        again.append(task)
                    else:
                        yield task, result
                for task in again:
                    alone = deque([task])
                    result = next((result for _, result in self._batch(alone, 1, more, most=1)), None)
                    waiting.extend(alone)
                    yield task, result

    def _batch(
        self, waiting: deque[Task], processes: int, more: Callable[[Result], Sequence[Task]], most: int | None = None
    ) -> Iterator[tuple[Task, Result | None]]:
        """Work until nothing waits (or `most` tasks are done) or the pool breaks; tasks on the way then give None."""
        others = multiprocessing.active_children()
        with ProcessPoolExecutor(processes, self._context, _begin, (self._initialise, self.counter)) as pool:
            futures: dict[Future[Result], Task] = {}
            started, broken = 0, False
            try:
                while futures or (waiting and not broken and started != most):
                    while waiting and not broken and len(futures) < TASKS_A_PROCESS * processes and started != most:
                        task = waiting.popleft()
                        started += 1
                        try:
                            futures[pool.submit(self._work, task)] = task
                        except BrokenProcessPool:
                            broken = True
                            yield task, None
                    ready, _ = wait(futures, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                    for future in ready:
                        task = futures.pop(future)
                        if isinstance(future.exception(), BrokenProcessPool):
                            broken = True
                            yield task, None
                        else:
                            result = future.result()
                            waiting.extendleft(reversed(more(result)))
                            yield task, result
                    if not ready:
                        self._on_wait()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                _end([process for process in multiprocessing.active_children() if process not in others])
                raise


def _begin(initialise: Callable[[Synchronized[int]], None], counter: Synchronized[int]) -> None:
    end_with_parent()
    initialise(counter)


def no_start(counter: Synchronized[int]) -> None:
    """An `initialise` that does nothing."""


def _end(processes: Sequence[BaseProcess]) -> None:
    """Terminate processes, and kill those that do not end in time."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(GRACE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


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


def _watch(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)

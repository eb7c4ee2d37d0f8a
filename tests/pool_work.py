"""Work for the pool's test, in a module that its processes can import."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

_counter: Synchronized[int] | None = None


def initialise(counter: Synchronized[int]) -> None:
    global _counter
    _counter = counter


def work(task: str) -> str:
    """Task "kill PATH": dies each time; "kill once PATH": dies the first time; "raise"; else says its name."""
    assert _counter is not None
    with _counter.get_lock():
        _counter.value += 1
    words = task.split(" ")
    if words[0] == "kill":
        with Path(words[-1]).open("a") as file:
            file.write(f"{os.getpid()}\n")
        first = len(Path(words[-1]).read_text().splitlines()) == 1
        if words[1] != "once" or first:
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
    if task == "raise":
        raise ValueError("a bug in the work")
    return f"{task}: {os.environ['OMP_NUM_THREADS']} thread"

"""A worker does not outlive a parent that was killed, and one that dies takes nobody's work with it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moda.processes import Pool
from tests.pool_work import initialise, work

POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from moda.processes import end_with_parent
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 100)
    time.sleep(100)
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "pool.py"], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    worker = Path("/proc") / str(int(parent.stdout.readline()))
    assert worker.exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not worker.exists()


def children(result: str) -> list[str]:
    return ["child 1", "child 2"] if result.startswith("parent") else []


def test_a_task_that_kills_its_process_is_tried_once_more_alone_and_the_rest_is_done(tmp_path: Path) -> None:
    log = tmp_path / "log"
    killer = f"kill always {log}"
    tasks = ["a", killer, "b", *(f"c{n}" for n in range(6)), "parent"]
    before = os.environ.get("OMP_NUM_THREADS")
    pool = Pool(work, initialise, 2)
    results = list(pool.run(tasks, children))
    found = dict(results)
    assert len(results) == len(found) == len(tasks) + 2
    assert found.pop(killer) is None and len(log.read_text().splitlines()) == 2
    assert found == {task: f"{task}: 1 thread" for task in [*tasks, "child 1", "child 2"] if task != killer}
    assert pool.counter.value >= len(tasks) + 3
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_a_task_whose_process_dies_once_is_done(tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = dict(Pool(work, initialise, 1).run([f"kill once {log}", "a"], children))
    assert sorted(found.values()) == ["a: 1 thread", f"kill once {log}: 1 thread"]
    assert len(log.read_text().splitlines()) == 2


def test_work_that_comes_of_a_result_goes_before_what_waits() -> None:
    order = [task for task, _ in Pool(work, initialise, 1).run(["parent", "x1", "x2", "x3", "x4"], children)]
    assert order.index("child 1") < order.index("x4") and order.index("child 1") < order.index("child 2")
    assert sorted(order) == ["child 1", "child 2", "parent", "x1", "x2", "x3", "x4"]


def test_an_error_or_an_end_from_outside_stops_the_processes() -> None:
    with pytest.raises(ValueError, match="a bug in the work"):
        list(Pool(work, initialise, 2).run(["a", "raise", *"bcdefgh"], lambda result: []))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for _ in Pool(work, initialise, 1).run(["a", "b", "c"], lambda result: []):
            interrupt()
    end = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < end:
        time.sleep(0.05)
    assert multiprocessing.active_children() == []


def test_nothing_to_do_starts_no_process() -> None:
    assert list(Pool(work, initialise, 4).run([], lambda result: [])) == []
    assert multiprocessing.active_children() == []

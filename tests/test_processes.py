"""A worker does not outlive a parent that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moda.processes import in_processes

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


def test_results_come_with_their_jobs_and_a_dead_process_gives_none() -> None:
    assert sorted(in_processes(abs, [-3, 4, -5], 2)) == [(-5, 5), (-3, 3), (4, 4)]
    assert list(in_processes(os._exit, [1, 2], 1)) == [(1, None), (2, None)]
    assert list(in_processes(abs, [], 2)) == []

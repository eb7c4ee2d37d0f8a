"""Preparation on a local Ray of two workers; needs the extra `ray`."""

from __future__ import annotations

import importlib.util
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from data_prepare import on_ray, runner
from data_prepare.on_ray import RayPool
from data_prepare.runner import prepare
from data_prepare.sources.folder import find_sources
from data_prepare.splits import SplitRule
from data_prepare.worker import work
from moda.errors import ConfigError
from tests.data_prepare.conftest import tree

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: moda[ray]")


@pytest.fixture
def local_ray(monkeypatch):
    import ray

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    yield
    ray.shutdown()


def dying_once(log, task):
    """The real work, but the process dies in it the first time that the first shot of film.mp4 is made."""
    if task.clip_id == "film_000":
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        if len(Path(log).read_text().splitlines()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return work(task)


def doubled(log, task):
    if task == 3:
        with Path(log).open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * task


@needs_ray
def test_a_store_made_on_ray_with_a_worker_killed_is_that_of_one_run(
    tmp_path, prepared, footage, options, local_ray, monkeypatch
):
    monkeypatch.setattr(runner, "work", partial(dying_once, str(tmp_path / "log")))
    report = prepare(find_sources(footage), tmp_path / "store", options, rule=SplitRule(), jobs=2, ray=True)
    assert len((tmp_path / "log").read_text().splitlines()) == 2
    assert tree(tmp_path / "store") == tree(prepared.out)
    assert report.rows == prepared.report.rows


@needs_ray
def test_a_task_that_kills_its_process_each_time_has_no_result_and_the_others_have(tmp_path, local_ray):
    log = tmp_path / "log"
    pool = RayPool(partial(doubled, str(log)), 2)
    found = dict(pool.run([1, 2, 3, 4], lambda result: [result * 5] if result == 2 else []))
    assert found == {1: 2, 2: 4, 3: None, 4: 8, 10: 20}
    assert len(log.read_text()) == 1 + on_ray.RETRIES


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(tmp_path, footage, options):
    with pytest.raises(ConfigError, match=r"pip install 'moda\[ray\]'"):
        prepare(find_sources(footage), tmp_path / "store", options, rule=SplitRule(), ray=True)

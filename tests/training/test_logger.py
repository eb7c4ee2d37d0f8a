"""What a run leaves in its tensorboard folder, read as a person would: by the `tensorboard` program."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from accelerate import PartialState

from moda.errors import ConfigError
from moda.training.logger import Logger, require_loggers

SECONDS = 60.0
"""Patience with the program, which starts within three seconds on an idle machine."""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where the real `tensorboard` shows a run of two points."""
    logger = Logger(tmp_path / "runs", step=0)
    logger.scalars("loss", {"l1": 0.5}, step=1)
    logger.scalars("loss", {"l1": 0.25}, step=2)
    logger.close()
    program = Path(sys.executable).with_name("tensorboard")
    command = [str(program), "--logdir", str(tmp_path / "runs"), "--host", "127.0.0.1", "--port", "0"]
    said = tmp_path / "said.txt"
    with said.open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until = time.monotonic() + SECONDS
            while not (found := re.search(r"http://127\.0\.0\.1:\d+/", said.read_text())):
                assert process.poll() is None and time.monotonic() < until, said.read_text()
                time.sleep(0.1)
            yield found[0]
        finally:
            process.terminate()


def read(address: str) -> str:
    """A page, past any proxy of the environment."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=SECONDS) as answer:
        return answer.read().decode()


def test_tensorboard_starts_and_shows_the_run(address: str) -> None:
    assert "<title>TensorBoard</title>" in read(address)
    until = time.monotonic() + SECONDS
    points: list[list[float]] = []
    while len(points) < 2:  # it reads the folder in the background
        assert time.monotonic() < until, points
        time.sleep(0.1)
        try:
            points = json.loads(read(f"{address}data/plugin/scalars/scalars?tag=loss/l1&run=tensorboard"))
        except urllib.error.HTTPError:
            continue
    assert [(step, value) for _, step, value in points] == [(1, 0.5), (2, 0.25)]


class FakeTracker(ModuleType):
    """What Accelerate calls of `wandb` and `trackio`, kept."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.said: list[Any] = []
        self.config = self
        self.Image = lambda picture: picture.shape

    def init(self, **settings: Any) -> FakeTracker:
        self.said.append(settings)
        return self

    def update(self, values: dict[str, Any], **_: Any) -> None:
        self.said.append(values)

    def log(self, values: dict[str, Any], step: int) -> None:
        self.said.append((step, values))

    def finish(self) -> None:
        self.said.append("finished")


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_trackers_get_what_tensorboard_gets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTracker(name)
    monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    PartialState(cpu=True)
    logger = Logger(tmp_path / "faco", 0, [name])
    logger.settings({"seed": 3, "trainer": {"steps": 2}}, 0)
    logger.scalars("train", {"generator/l1": 0.5}, 1)
    logger.pictures({"still": np.zeros((4, 6, 3), np.uint8), "moving": np.zeros((2, 4, 6, 3), np.uint8)}, 1)
    logger.close()
    own, config, *rest = fake.said
    assert own["project"] == "moda" and own["name"] == "faco"
    assert name != "wandb" or own["mode"] == "offline"
    assert config["seed"] == "3" and rest[0] == (1, {"train/generator/l1": 0.5}) and rest[-1] == "finished"
    assert rest[1:-1] == ([(1, {"preview/still": [(4, 6, 3)]})] if name == "wandb" else [])
    assert not (tmp_path / "faco" / "tensorboard").exists(), "it was not asked for"


def test_a_tracker_that_does_not_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise OSError("no server\nat all")

    fake = FakeTracker("wandb")
    monkeypatch.setattr(fake, "init", refuse)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    PartialState(cpu=True)
    with pytest.raises(ConfigError, match=r"wandb of trainer\.loggers does not start: no server at all$"):
        Logger(tmp_path, 0, ["wandb"])


def test_mlflow_keeps_a_run_in_the_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    PartialState(cpu=True)
    (tmp_path / "faco").mkdir()
    logger = Logger(tmp_path / "faco", 0, ["mlflow"])
    logger.settings({"seed": 3}, 0)
    logger.scalars("train", {"generator/l1": 0.5}, 1)
    logger.close()
    (run,) = mlflow.search_runs(experiment_names=["moda"], output_format="list")
    assert run.data.params["seed"] == "3" and run.data.metrics["train/generator/l1"] == 0.5
    assert (tmp_path / "faco" / "mlflow.db").is_file()


def test_a_tracker_that_is_not_installed_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name))
    require_loggers(["tensorboard"])
    with pytest.raises(ConfigError, match=r"names wandb, whose package is not installed: pip install 'moda\[wandb\]'"):
        require_loggers(["tensorboard", "wandb"])

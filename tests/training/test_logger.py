"""What a run leaves in its tensorboard folder, read as a person would: by the `tensorboard` program."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from moda.training.logger import Logger

SECONDS = 60.0
"""Patience with the program, which starts within three seconds on an idle machine."""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where the real `tensorboard` shows a run of two points."""
    logger = Logger(tmp_path / "runs" / "tensorboard", step=0)
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

"""A few kills; `python -m tests.kills` is the long form, over all commands."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import REPOSITORY


def test_a_killed_command_ends_whole_when_it_is_called_again() -> None:
    """In a process of its own, which forks: this one has threads."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.kills", "--kills", "1", "--only", "infer", "train"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr

"""Checkpoints to ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.shipping import main
from moda import checkpoint
from tests.conftest import REPOSITORY

RENDERER, FACO = (REPOSITORY / "assets" / "checkpoints" / name for name in ("renderer.pt", "faco.pt"))


def test_weights_between_those_of_the_start_and_the_end(tmp_path: Path) -> None:
    start = checkpoint.load(RENDERER)
    moved = {name: value + 1 if value.is_floating_point() else value for name, value in start.weights.items()}
    checkpoint.save(tmp_path / "run.pt", replace(start, weights=moved))
    assert main([str(tmp_path / "run.pt"), str(tmp_path / "out.pt"), "--start", str(RENDERER), "--share", "0.25"]) == 0
    found = checkpoint.load(tmp_path / "out.pt").weights
    for name, value in start.weights.items():
        added = 0.25 if value.is_floating_point() else 0
        torch.testing.assert_close(found[name].float(), value.float() + added, atol=2e-3, rtol=0)


def test_another_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(RENDERER), str(tmp_path / "out.pt"), "--start", str(FACO)]) == 2
    assert "same stage and network" in capsys.readouterr().err
    assert not (tmp_path / "out.pt").exists()

"""Runs of real stages whose log says how they go."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest

from moda.cli.train import main
from moda.config import load_yaml, parse
from moda.locations import find_reference
from moda.stages.registry import build_stage
from moda.training.config import TrainConfig
from moda.training.monitor import Monitor
from moda.training.reference import Reference
from moda.training.state import resolved
from tests.conftest import REPOSITORY
from tests.talking_clips import talking_store

SHIPPED = [
    path
    for path in sorted((REPOSITORY / "configs").glob("*/*.reference.json"))
    if path.name != "speech.reference.json"  # its network has as many symbols as the labels name
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talking_store(tmp_path_factory.mktemp("talking") / "store", clips=4).root


def train(config: str, store: Path, output: Path, *arguments: str) -> int:
    return main(
        ["--config", config, "--device", "cpu", "--set", f"data.store={store}", "--set", f"output={output}", *arguments]
    )


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


def test_every_debug_config_has_curves_that_fit_its_settings() -> None:
    for path in sorted((REPOSITORY / "configs" / "debug").glob("*.yaml")):
        found = find_reference(path)
        assert found is not None, path
        reference = Reference.load(found)
        assert reference.training.steps and reference.seconds_per_step > 0
        assert load_yaml(path)["network"].get("d") == reference.settings["network"].get("d")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_run_of_a_shipped_configuration_is_compared_with_its_curves(path: Path) -> None:
    config = parse(
        TrainConfig, load_yaml(path.with_name(path.name.replace(".reference.json", ".yaml"))), source=path.name
    )
    stage = build_stage(config, source=path.name)
    assert Monitor(path, resolved(config, stage), stage.adversary, config.optimizer.clip).reference is not None


def test_a_run_is_compared_with_its_reference(store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    steps = ["--set", "trainer.steps=20", "--set", "trainer.validate_every=20"]
    with caplog.at_level(logging.INFO, "moda"):
        assert train("debug/audio2repr_paper", store, tmp_path / "good", *steps) == 0
    assert any("compared with" in line and "audio2repr_paper.reference.json" in line for line in said(caplog))
    assert not any("times the reference's" in line for line in said(caplog))
    caplog.clear()
    with caplog.at_level(logging.INFO, "moda"):
        assert train("debug/audio2repr_paper", store, tmp_path / "bad", *steps, "--set", "optimizer.lr=0.3") == 0
    assert sum("times the reference's at this step" in line for line in said(caplog)) == 1
    caplog.clear()
    with caplog.at_level(logging.INFO, "moda"):
        assert train("debug/audio2repr_paper", store, tmp_path / "other", "--set", "loss.lips=9") == 0
    assert any("losses are not compared" in line and "loss.lips" in line for line in said(caplog))


def test_a_run_writes_curves(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.reference.json"
    steps = ["--set", "trainer.steps=8", "--write-reference", str(path)]
    assert train("debug/faco", store, tmp_path / "run", *steps) == 0
    reference = Reference.load(path)
    assert reference.training.steps == [*range(1, 9)] and reference.validation.steps == [2, 4, 6, 8]
    assert {"generator/l1", "generator/gradient", "discriminator/lsgan"} <= set(reference.training.values)
    assert reference.data["clips"] > 0 and 0 < reference.seconds_per_step < math.inf
    before = json.loads(path.read_text())
    path.unlink()
    assert train("debug/faco", store, tmp_path / "run", *steps) == 0, "of the finished run"
    assert json.loads(path.read_text()) == before


def test_an_existing_run_stays_as_it_is(store: Path, tmp_path: Path) -> None:
    assert train("debug/faco", store, tmp_path / "run") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    train("debug/faco", store, tmp_path / "run", "--overfit-one-batch", "2")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before

"""Runs that start from a checkpoint's weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from moda import checkpoint as checkpoints
from moda.errors import CheckpointError, ConfigError
from moda.training.dry_run import dry_run
from moda.training.randomness import seed_everything
from moda.training.trainer import Trainer
from tests.training.test_trainer import TinyData, TinyGan, TinyLoss, TinyNetwork, TinyStage, make, make_config, same


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """last.pt of a run of another seed."""
    make(make_config(tmp_path / "first", seed=7)).run()
    return tmp_path / "first" / "last.pt"


class Fixed(TinyStage):
    """Its statistics come with the weights: nothing may compute them anew."""

    def prepare(self, train: Dataset[Any]) -> None:
        raise AssertionError("statistics were computed although they came with the weights")


def test_weights_and_statistics_are_those_of_the_checkpoint(first: Path, tmp_path: Path) -> None:
    trainer = make(make_config(tmp_path / "run", init=first), Fixed)
    assert same(trainer.stage.network.state_dict(), checkpoints.load(first).weights)
    outcome = trainer.run()
    assert outcome.before["score"] >= outcome.after["score"]
    assert not same(trainer.stage.network.state_dict(), checkpoints.load(first).weights)
    info = checkpoints.load(tmp_path / "run" / "last.pt").info
    assert info["init"] == {"file": str(first), "step": 4, "metrics": outcome.before}
    assert info["metrics"] == outcome.after


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_if_no_step_is_better_the_best_is_the_start(
    first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, ema: float
) -> None:
    settings = {"validate_every": 1, "ema": ema}
    trainer = make(make_config(tmp_path / "run", init=first, data={"validation": 1}, trainer=settings))
    trainer.stage.scores = [1.0, 3.0, 1.5, 1.0, 2.0]  # type: ignore[assignment]
    with caplog.at_level(logging.INFO, logger="moda"):
        outcome = trainer.run()
    assert outcome.before == outcome.after == {"score": 1.0}
    assert "no step is better than the start (score 1): best.pt is the start" in caplog.text
    best = checkpoints.load(tmp_path / "run" / "best.pt")
    assert best.info["step"] == 0
    assert same(best.weights, checkpoints.load(first).weights)


def test_a_better_step_is_the_best(first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = make(make_config(tmp_path / "run", init=first, data={"validation": 1}, trainer={"validate_every": 1}))
    trainer.stage.scores = [2.0, 3.0, 1.5, 1.7, 1.8]  # type: ignore[assignment]
    with caplog.at_level(logging.INFO, logger="moda"):
        outcome = trainer.run()
    assert (outcome.before["score"], outcome.after["score"]) == (2.0, 1.5)
    assert checkpoints.load(tmp_path / "run" / "best.pt").info["step"] == 2
    assert "is the start" not in caplog.text


def test_a_resumed_run_needs_the_checkpoint_no_more(first: Path, tmp_path: Path) -> None:
    def config(name: str, steps: int) -> Any:
        return make_config(tmp_path / name, init=first, trainer={"steps": steps, "ema": 0.5})

    whole = make(config("whole", 4)).run()
    make(config("parts", 2)).run()
    weights = checkpoints.load(tmp_path / "whole" / "last.pt").weights
    first.unlink()
    parts = make(config("parts", 4)).run()
    assert parts.before == whole.before
    last = checkpoints.load(tmp_path / "parts" / "last.pt")
    assert same(last.weights, weights)
    assert last.info["init"]["step"] == 4


def test_the_adversary_comes_from_the_trainers_state_or_is_new(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(make_config(tmp_path / "first", stage="gan", seed=7), TinyGan).run()
    last, best = tmp_path / "first" / "last.pt", tmp_path / "first" / "best.pt"
    state = checkpoints.load(last).trainer
    assert state is not None
    theirs = state["trainables"]["discriminator"]
    for path, kept in ((last, True), (best, False)):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="moda"):
            trainer = make(make_config(tmp_path / path.stem, stage="gan", init=path), TinyGan)
        assert same(trainer.stage.trainables["discriminator"].state_dict(), theirs) == kept
        assert ("new: discriminator" in caplog.text) == (not kept)


def test_other_stages_and_networks_are_refused_by_name(first: Path, tmp_path: Path) -> None:
    def start(init: Path, kind: type[TinyStage] = TinyStage, **sections: Any) -> Trainer:
        return make(make_config(tmp_path / "run", init=init, **sections), kind)

    with pytest.raises(CheckpointError, match="is a checkpoint of stage 'tiny', wanted 'gan'"):
        start(first, TinyGan, stage="gan")
    with pytest.raises(CheckpointError, match=r"another network: network.width is 6, here 9; set these as there"):
        start(first, network={"width": 9})
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        start(tmp_path / "none.pt")
    cut = tmp_path / "other.pt"
    saved = checkpoints.load(first)
    weights = {name: value for name, value in saved.weights.items() if name != "layers.4.bias"}
    checkpoints.save(cut, checkpoints.Checkpoint("tiny", saved.config, weights))
    with pytest.raises(CheckpointError, match=r"missing layers.4.bias"):
        start(cut)
    assert not (tmp_path / "run").exists()


def test_settings_of_training_alone_may_differ(first: Path, tmp_path: Path) -> None:
    class Free(TinyStage):
        training_only = frozenset({"width"})

    seed_everything(0)
    stage = Free(TinyData(), TinyNetwork(width=6), TinyLoss())
    object.__setattr__(stage, "network_config", TinyNetwork(width=7))
    trainer = Trainer(make_config(tmp_path / "run", init=first), stage)
    assert same(trainer.stage.network.state_dict(), checkpoints.load(first).weights)


def test_a_dry_run_starts_where_the_run_would(first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a run in the output folder it goes on from that one, whose weights are not random either."""
    caplog.set_level(logging.INFO, logger="moda")
    config = make_config(tmp_path / "run", init=first)
    trained = checkpoints.load(tmp_path / "first" / "last.pt").weights
    make(config, Fixed).run()
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    again = make(config, Fixed)
    caplog.clear()
    dry_run(again)
    assert f"resuming {tmp_path / 'run' / 'last.pt'} at step 4" in caplog.text
    weight = "layers.0.weight"  # of the others, batch norm's statistics follow what they see
    assert same(
        again.stage.network.state_dict()[weight], checkpoints.load(tmp_path / "run" / "last.pt").weights[weight]
    )
    anew = make(config, Fixed, fresh=True)
    dry_run(anew)
    assert f"starting from the weights of {first}" in caplog.text
    assert same(anew.stage.network.state_dict()[weight], trained[weight])
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(ConfigError, match=r"belongs to a run with other settings: init was .* is None"):
        dry_run(make(make_config(tmp_path / "run")))


def test_what_a_run_starts_from_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="moda")
    make(make_config(tmp_path / "run")).run()
    assert "starting from random weights" in caplog.text


def test_a_dry_run_starts_there_too(first: Path, tmp_path: Path) -> None:
    result = dry_run(make(make_config(tmp_path / "run", init=first), Fixed))
    assert "score" in result.metrics
    assert not (tmp_path / "run").exists()
    assert not torch.isnan(torch.tensor(list(result.losses.values()))).any()

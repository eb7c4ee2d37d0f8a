"""The check with one batch: it passes in every stage, and where targets are those of other inputs it does not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moda.cli.train import main
from moda.data.store import ClipStore
from moda.stages.registry import build_stage
from moda.training.overfitting import Overfit, for_overfitting, mispaired, overfit
from moda.training.randomness import seed_everything
from moda.training.stage import Stage
from moda.training.trainer import Trainer
from tests.every_stage import STAGES, Data, make_data, settings, train_config

STEPS = {"audio2repr": 250}
"""At the most; of the others 150."""
CHANGES = {"renderer": ("network.eye_widths=[8, 8]",)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, clip_store: ClipStore) -> Data:
    return make_data(tmp_path_factory.mktemp("data"), clip_store.root)


def mixed_up(stage: Stage, batch: Any, order: torch.Generator) -> Any:
    """The batch whose targets are in a random order: of frames where there are any, else of samples."""
    if isinstance(batch, list):
        return [mixed_up(stage, part, order) for part in batch]
    frames = 1 + (stage.name in ("audio2repr", "faco", "speech"))
    place: Tensor | None = None
    changed = {}
    for name in stage.targets & set(batch):
        values = batch[name].flatten(0, frames - 1) if name != "clean" else batch[name]
        if name == "clean":  # samples, not frames; no term of the debug configuration reads them
            continue
        if stage.name == "sync":  # two lags in another order are often the same: new ones
            changed[name] = 2 * stage.data_config.reach * (torch.rand(len(values), generator=order) - 0.5)  # type: ignore[attr-defined]
            continue
        place = torch.randperm(len(values), generator=order) if place is None else place
        changed[name] = values[place].view(batch[name].shape)
    return {**batch, **changed}


def check(name: str, data: Data, output: Path, *, mixed: bool) -> Overfit:
    config = for_overfitting(train_config(name, data, output, *CHANGES.get(name, ())), STEPS.get(name, 150))
    seed_everything(config.seed)
    stage = build_stage(config, source=name)
    if mixed:
        losses, seed = stage.losses, count()

        def wrong(batch: Any, generator: torch.Generator) -> Iterator[Any]:
            return losses(mixed_up(stage, batch, torch.Generator().manual_seed(next(seed))), generator)

        stage.losses = wrong  # type: ignore[method-assign, assignment]
    return overfit(Trainer(config, stage, fresh=True), lambda step, loss: None)


@pytest.mark.parametrize("name", STAGES)
def test_one_batch_is_learned_by_heart(name: str, data: Data, tmp_path: Path) -> None:
    result = check(name, data, tmp_path, mixed=False)
    assert result.learned and result.exchanged is not None


@pytest.mark.parametrize("name", STAGES)
def test_targets_of_other_inputs_are_not_learned(name: str, data: Data, tmp_path: Path) -> None:
    """In another order in every step; a wrong one that stays can be learned by heart, and is not noticed."""
    result = check(name, data, tmp_path, mixed=True)
    assert not result.learned, result


@pytest.mark.parametrize("name", STAGES)
def test_all_names_of_targets_are_in_a_batch(name: str, data: Data, tmp_path: Path) -> None:
    config = train_config(name, data, tmp_path, *CHANGES.get(name, ()))
    stage = build_stage(config, source=name)
    batch = next(iter(Trainer(config, stage).start()))
    assert stage.targets and stage.targets <= set(batch[0] if isinstance(batch, list) else batch)


def test_targets_that_are_all_the_same_cannot_be_exchanged() -> None:
    one = {"x": torch.arange(2.0), "y": torch.ones(2)}
    assert mispaired(one, {"y"}) is None and mispaired([one], {"y"}) is None and mispaired(one, set()) is None
    other = mispaired([{"x": torch.arange(2.0), "y": torch.arange(2.0)}], {"y"})
    assert other is not None and other[0]["y"].tolist() == [1, 0] and other[0]["x"].tolist() == [0, 1]


def test_the_command_says_what_it_found(data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = [word for each in (*settings("faco", data), f"output={run}") for word in ("--set", each)]
    words = ["--config", "debug/faco", "--device", "cpu", *words, "--overfit-one-batch"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "\nlearned: loss " in said and "\nwith the targets of other samples it is " in said
    assert not run.exists(), "nothing is written"
    assert main([*words, "10", "--set", "optimizer.lr=1e-9"]) == 1
    said = capsys.readouterr().out
    assert "\nNOT LEARNED: loss " in said and "raise optimizer.lr" in said

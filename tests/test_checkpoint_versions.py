"""Checkpoints of earlier versions: their names are brought to today's, everything else stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from moda import checkpoint as checkpoints
from moda.checkpoint import Checkpoint
from moda.checkpoint_versions import VERSION, upgraded
from moda.cli import train
from moda.config import load_yaml, parse
from moda.data.store import ClipStore
from moda.errors import CheckpointError, ConfigError
from moda.stages.audio2repr.config import FlowNetworkConfig, LossConfig, NetworkConfig, PaperConfig
from moda.stages.registry import load_network
from moda.stages.renderer.config import LossConfig as RendererLoss
from tests.conftest import REPOSITORY

OLD = {"sound_tower.first.weight": 1.0, "normalizers.heard.mean": 2.0, "lips.heard.sound_tower.bias": 3.0}
NEW = {"audio_tower.first.weight": 1.0, "normalizers.audio_features.mean": 2.0, "lips.heard.sound_tower.bias": 3.0}


def tensors(numbers: dict[str, float]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([value]) for name, value in numbers.items()}


def test_a_renderer_trained_with_vgg_is_read_with_todays_name() -> None:
    for version in (1, VERSION):
        tree = {"version": version, "stage": "renderer", "config": {"loss": {"l1": 30.0, "vgg": "vgg19.pth"}}}
        read = upgraded(tree)["config"]
        assert read["loss"] == {"l1": 30.0, "perceptual_weights": "vgg19.pth"}
        parse(RendererLoss, read["loss"], source="test")


def test_version_1_is_read_with_todays_names(tmp_path: Path) -> None:
    now = Checkpoint("sync", {"network": {}}, {}, trainer={})
    tree = {"kind": checkpoints.KIND, "version": 1, "stage": "sync", "config": now.config, "weights": tensors(OLD)}
    trainer = {"players": {"generator": tensors(OLD)}, "average": tensors(OLD), "step": 7, "random": {"players": 1}}
    torch.save(tree | {"signature": now.signature, "trainer": trainer, "info": {"step": 7}}, tmp_path / "old.pt")
    read = checkpoints.load(tmp_path / "old.pt")
    assert read.weights == tensors(NEW) and read.info == {"step": 7}
    assert read.trainer == {
        "trainables": {"generator": tensors(NEW)},
        "average": tensors(NEW),
        "step": 7,
        "random": {"players": 1},
    }


def test_one_of_today_is_not_changed() -> None:
    tree = {"version": VERSION, "weights": {"normalizers.heard.mean": 1}, "trainer": {"players": {}}}
    assert upgraded(tree) == tree
    shipped = {"version": 1, "weights": {"a": 1}, "trainer": None}
    assert upgraded(shipped) == shipped | {"version": VERSION}


def test_parts_of_another_kind_are_left_for_the_reader_to_refuse() -> None:
    odd = {"version": 1, "weights": 3, "trainer": [1], "config": None}
    assert upgraded(odd) == odd | {"version": VERSION}
    assert upgraded({"version": 1, "trainer": {"average": None}})["trainer"] == {"average": None}


BRANCHES = {"eyes_from": "both", "head_from": "both", "torso_from": "both"}
OLD_NETWORK = {"d": 32, "body": "dual", "prob": "vae", "lips_from": "both", **BRANCHES, "flow": {"steps": 3},
               "blinks": True, "other_hidden": [8], "head_channels": 7}  # fmt: skip
"""Stage 1 of version 1: every field was there, whether it was in use or not."""


def config_of_today(network: dict[str, Any], loss: dict[str, Any] | None = None) -> dict[str, Any]:
    config = {"network": network, "loss": loss or {}, "data": {"augment": {"noise": 0.5, "telephone": 0.0}}}
    found: dict[str, Any] = upgraded({"version": 1, "stage": "audio2repr", "config": config})["config"]
    assert found["data"] == {"augment": {"noise": 0.5}}
    return found


@pytest.mark.parametrize(
    ("changes", "attention", "lips_read"),
    [
        ({}, "dual", "both"),
        ({"lips_from": "spec"}, "dual", "spec"),
        ({"body": "spec_only", "lips_from": "spec", "eyes_from": "prob"}, "spec", "both"),
        ({"body": "prob_only"}, "prob", "both"),
        ({"body": "lstm", "prob": "flow", "lips_from": "frame"}, "lstm", "both"),
        ({"body": "none"}, "none", "both"),
    ],
)
def test_stage_1_of_version_1_with_the_papers_branches(changes: dict[str, str], attention: str, lips_read: str) -> None:
    network = config_of_today({**OLD_NETWORK, **changes})["network"]
    wanted = PaperConfig(kind="paper", d=32, attention=attention, lips_read=lips_read, other_hidden=(8,))  # type: ignore[arg-type]
    assert parse(NetworkConfig, network, source="test") == wanted


def test_stage_1_of_version_1_with_a_flow() -> None:
    old = {**OLD_NETWORK, "prob": "flow", "lips_from": "spec"}
    found = parse(NetworkConfig, config_of_today(old)["network"], source="test")
    assert found == FlowNetworkConfig.model_validate({"kind": "flow", "d": 32, "flow": {"steps": 3}, "blinks": True})
    del old["blinks"]
    found = parse(NetworkConfig, config_of_today(old)["network"], source="test")
    assert isinstance(found, FlowNetworkConfig) and not found.blinks


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"prob": "flow", "lips_from": "frame"}, "lips_from"), ({"eyes_from": "spec"}, "eyes_from")],
)
def test_branches_that_there_no_longer_are_stay_for_the_reader_to_refuse(changes: dict[str, str], key: str) -> None:
    network = config_of_today({**OLD_NETWORK, **changes})["network"]
    with pytest.raises(ConfigError, match=f"unknown key '{key}'"):
        parse(NetworkConfig, network, source="test")
    with pytest.raises(CheckpointError, match=f"unknown key 'network.{key}'.*train it again"):
        load_network(Checkpoint("audio2repr", {"network": network}, {}), {}, source="old.pt")


@pytest.mark.parametrize(
    ("zeros", "train"),
    [(("lips", "lips_velocity", "opening"), "stochastic"), (("flow", "blinks"), "lips"), (("flow",), "all")],
)
def test_weights_of_version_1_that_were_0_say_what_learns(zeros: tuple[str, ...], train: str) -> None:
    old = {"standardise": True, "lips": 1.0, "lips_velocity": 1.0, "opening": 1.0, "flow": 1.0, "blinks": 1.0}
    old |= dict.fromkeys(zeros, 0.0)
    loss = config_of_today({**OLD_NETWORK, "prob": "flow", "lips_from": "spec"}, old)["loss"]
    assert parse(LossConfig, loss, source="test") == LossConfig(train=train, flow=0.0 if train == "all" else 1.0)  # type: ignore[arg-type]
    assert config_of_today(OLD_NETWORK, old)["loss"] == old, "the paper's had no such modes"


def test_an_augmentation_that_there_no_longer_is_counts_where_it_was_on() -> None:
    data = {"augment": {"telephone": 0.2}}
    assert upgraded({"version": 1, "stage": "sync", "config": {"data": data}})["config"] == {"data": data}


def test_a_run_of_version_1_goes_on_as_if_it_had_never_stopped(clip_store: ClipStore, tmp_path: Path) -> None:
    def run(output: Path, steps: int) -> dict[str, Any]:
        sets = [f"data.store={clip_store.root}", f"output={output}", f"trainer.steps={steps}", "trainer.save_every=1"]
        words = [word for text in (*sets, "optimizer.schedule=constant") for word in ("--set", text)]
        config = REPOSITORY / "configs" / "debug" / "audio2repr.yaml"
        assert train.main(["--config", str(config), "--device", "cpu", *words]) == 0
        tree: dict[str, Any] = torch.load(output / "last.pt", weights_only=True)
        return tree

    whole, tree = run(tmp_path / "whole", 2), run(tmp_path / "stopped", 1)
    network = tree["config"]["network"]
    assert network.pop("kind") == "flow" and tree["config"]["loss"].pop("train") == "all"
    network.update(body="dual", prob="flow", lips_from="spec", **BRANCHES, other_hidden=[32], head_channels=7)
    tree["config"]["data"]["augment"]["telephone"] = 0.0
    tree["trainer"]["players"] = tree["trainer"].pop("trainables")
    for weights in (tree["weights"], *tree["trainer"]["players"].values()):
        for name in ("mean", "std"):
            weights[f"normalizers.heard.{name}"] = weights.pop(f"normalizers.audio_features.{name}")
    torch.save(tree | {"version": 1}, tmp_path / "stopped" / "last.pt")
    resumed = run(tmp_path / "stopped", 2)
    assert resumed["trainer"]["step"] == 2
    for name, value in whole["weights"].items():
        assert torch.equal(resumed["weights"][name], value), name


def test_the_shipped_stage_1_is_read_as_the_recommended_kind() -> None:
    shipped = checkpoints.load(REPOSITORY / "assets" / "checkpoints" / "audio2repr.pt")
    today = load_yaml(REPOSITORY / "configs" / "default" / "audio2repr_stochastic.yaml")
    found = parse(NetworkConfig, shipped.config["network"], source="test")
    start = {"init": found.wav2vec.init, "freeze": found.wav2vec.freeze}
    wanted = parse(NetworkConfig, today["network"], source="test")
    assert found == wanted.model_copy(update={"wav2vec": wanted.wav2vec.model_copy(update=start)})
    assert parse(LossConfig, shipped.config["loss"], source="test") == parse(LossConfig, today["loss"], source="test")

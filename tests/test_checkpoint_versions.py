"""Checkpoints of earlier versions: their names are brought to today's, everything else stays."""

from __future__ import annotations

from pathlib import Path

import torch

from moda import checkpoint as checkpoints
from moda.checkpoint import Checkpoint
from moda.checkpoint_versions import VERSION, upgraded

OLD = {"sound_tower.first.weight": 1.0, "normalizers.heard.mean": 2.0, "lips.heard.sound_tower.bias": 3.0}
NEW = {"audio_tower.first.weight": 1.0, "normalizers.audio_features.mean": 2.0, "lips.heard.sound_tower.bias": 3.0}


def tensors(numbers: dict[str, float]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([value]) for name, value in numbers.items()}


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

"""Checkpoints of the debug networks with random weights, whose motion is large enough to be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from moda import checkpoint
from moda.config import load_yaml
from moda.stages.registry import build_network

DEBUG = Path(__file__).resolve().parents[1] / "configs" / "debug"
STAGES = ("audio2repr", "faco", "renderer")
LARGE = {"lips": 6.0, "eyes": 3.0, "face": 2.0, "head": 4.0, "torso": 4.0}
"""Standard deviation of each group, pixels or degrees."""


def debug_section(stage: str) -> dict[str, Any]:
    section: dict[str, Any] = load_yaml(DEBUG / f"{stage}.yaml")["network"]
    return section


def debug_network(stage: str, section: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    network = build_network(stage, section)
    for name, group in getattr(network, "normalizers", nn.ModuleDict()).items():
        if name in LARGE:
            group.std.fill_(LARGE[name])
    flow = getattr(network, "flow", None)
    if flow is not None:  # the scale of the last channel of the head is a share, not pixels
        for name, basis in flow.bases.items():
            basis.unit.fill_(LARGE[name])
        flow.bases["head"].unit[6] = 0.02
    return network


def write_checkpoints(folder: Path, **sections: dict[str, Any]) -> dict[str, Path]:
    """STAGE.pt for all stages; sections: changes of a stage's network section, {"kind": "paper"} the other stage 1."""
    paths = {}
    for stage in STAGES:
        changes = sections.get(stage, {})
        section = {**debug_section("audio2repr_paper" if changes.get("kind") == "paper" else stage), **changes}
        weights = debug_network(stage, section).state_dict()
        paths[stage] = folder / f"{stage}.pt"
        checkpoint.save(paths[stage], checkpoint.Checkpoint(stage, {"stage": stage, "network": section}, weights))
    return paths

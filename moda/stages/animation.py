"""The networks of an animation's configuration."""

from __future__ import annotations

from typing import Any

from torch import nn

from moda import checkpoint
from moda.animation import AnimationConfig
from moda.stages.registry import load_network


def load_stage(stage: str, config: AnimationConfig | None = None) -> nn.Module:
    """One network of a configuration (default: those that ship) on the CPU, in eval mode; raises `CheckpointError`."""
    config = config or AnimationConfig()
    path = config.network(stage)
    loaded = checkpoint.load(path, stage=stage, map_location="cpu")
    changes: dict[str, Any] = {}
    if checkpoint.section(loaded, "network", source=str(path)).get("kind") == "flow":
        flow = {"steps": config.flow_steps, "turning_degrees": config.liveliness}
        changes = {"flow": {name: value for name, value in flow.items() if value is not None}}
    return load_network(loaded, changes, source=str(path)).eval()

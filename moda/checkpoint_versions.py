"""Checkpoints of earlier versions under today's names: the one place that knows the old ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERSION = 2
"""Of what is written today."""
_RENAMED_WEIGHTS = {"sound_tower.": "audio_tower.", "normalizers.heard.": "normalizers.audio_features."}
"""Version 1: how names of weights began -> how they begin."""


def upgraded(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A tree as this version writes it; one of this version, or of an unknown one, comes back equal."""
    tree = dict(tree)
    if tree.get("version") == 1:
        tree.update(version=VERSION, weights=_renamed(tree.get("weights")), trainer=_trainer(tree.get("trainer")))
    return tree


def _trainer(state: Any) -> Any:
    if not isinstance(state, dict):
        return state
    state = dict(state)
    players = state.pop("players", None)
    if isinstance(players, dict):
        state["trainables"] = {name: _renamed(weights) for name, weights in players.items()}
    return state | {"average": _renamed(state.get("average"))}


def _renamed(weights: Any) -> Any:
    return {_name(name): value for name, value in weights.items()} if isinstance(weights, dict) else weights


def _name(name: Any) -> Any:
    if isinstance(name, str):
        for old, new in _RENAMED_WEIGHTS.items():
            if name.startswith(old):
                return new + name.removeprefix(old)
    return name

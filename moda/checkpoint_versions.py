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
    if tree.get("stage") == "renderer" and isinstance(tree.get("config"), dict):
        tree["config"] = _renderer_config(tree["config"])
    if tree.get("version") == 1:
        tree.update(version=VERSION, weights=_renamed(tree.get("weights")), trainer=_trainer(tree.get("trainer")))
        if isinstance(tree.get("config"), dict):
            tree["config"] = _config(tree["config"], tree.get("stage"))
    return tree


def _renderer_config(config: dict[str, Any]) -> dict[str, Any]:
    """loss.vgg, which could only be VGG19 -> loss.perceptual_weights."""
    loss = config.get("loss")
    if not isinstance(loss, dict) or "vgg" not in loss:
        return config
    rest = {name: value for name, value in loss.items() if name != "vgg"}
    return config | {"loss": {**rest, "perceptual_weights": loss["vgg"]}}


def _config(config: dict[str, Any], stage: Any) -> dict[str, Any]:
    """A train configuration; a setting that has no equal today stays, for its reader to refuse by name."""
    data, network, loss = (config.get(name) for name in ("data", "network", "loss"))
    if isinstance(data, dict) and isinstance(data.get("augment"), dict) and data["augment"].get("telephone") == 0:
        augment = {name: value for name, value in data["augment"].items() if name != "telephone"}
        config = config | {"data": data | {"augment": augment}}
    if stage == "audio2repr" and isinstance(network, dict):
        network = _stage1_network(network)
        config = config | {"network": network}
        if isinstance(loss, dict) and network["kind"] == "flow":
            config = config | {"loss": _flow_loss(loss)}
    return config


def _stage1_network(old: dict[str, Any]) -> dict[str, Any]:
    """Of stage 1: body and prob, and four branches to read from, were fields -> a kind with its own."""
    new, body = dict(old), old.get("body", "dual")
    expressed: dict[str, tuple[str, ...]]  # values that need no field today
    if body == "dual" and old.get("prob", "vae") == "flow":
        new["kind"], unused = "flow", {"eyes_from", "head_from", "torso_from", "other_hidden", "head_channels"}
        new.setdefault("blinks", False)
        expressed = {"lips_from": ("spec",)}
    else:
        new["kind"], new["attention"] = "paper", str(body).removesuffix("_only")
        unused = {"flow", "blinks"}
        expressed = dict.fromkeys(("eyes_from", "head_from", "torso_from"), ("both",))
        expressed["lips_from"] = ("both", "spec")
        if body != "dual":
            unused |= expressed.keys()
        elif new.get("lips_from", "both") in expressed["lips_from"]:
            new["lips_read"] = new.get("lips_from", "both")
    unused |= {"body", "prob"} | {name for name, values in expressed.items() if new.get(name) in values}
    return {name: value for name, value in new.items() if name not in unused}


def _flow_loss(old: dict[str, Any]) -> dict[str, Any]:
    """Of stage 1: weights that were all 0 said what learns."""
    for train, zeros in (("stochastic", ("lips", "lips_velocity", "opening")), ("lips", ("flow", "blinks"))):
        if all(old.get(name) == 0 for name in zeros):
            return {name: value for name, value in old.items() if name not in zeros} | {"train": train}
    return old


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

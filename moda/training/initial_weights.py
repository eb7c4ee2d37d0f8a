"""Starting a fresh run from the weights of a checkpoint (`init` of a train YAML)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from moda import checkpoint as checkpoints
from moda.config import Config, differences, parse, to_dict
from moda.errors import CheckpointError, ConfigError
from moda.locations import find_checkpoint
from moda.training.stage import Stage

log = logging.getLogger(__name__)

NOT_ARCHITECTURE_KEYS = frozenset({"init", "pretrained", "freeze"})
"""Last words of network settings that say where weights came from or whether they are trained."""


def require_weights(stage: type[Stage], network: Config, loss: Config) -> None:
    """Raise `ConfigError` if a run that starts from no checkpoint would keep random weights as they are."""
    reason = stage.frozen_at_random(network, loss)
    if reason is not None:
        raise ConfigError(f"stage '{stage.name}' would keep random weights for good: {reason}")


def start_from(path: Path, stage: Stage) -> dict[str, Any]:
    """Give the stage's network the weights of a checkpoint, statistics among them.

    Other trainables (a discriminator) get theirs where the checkpoint holds a trainer's state in which they
    fit; else they start anew. Returns what a checkpoint's `info` tells of it: file, step. Raises
    `CheckpointError` naming the settings or weights in which the checkpoint is another stage or network.
    """
    path = find_checkpoint(path)
    saved = checkpoints.load(path, stage=stage.name)
    settings = checkpoints.section(saved, "network", source=str(path))
    theirs = parse(stage.NetworkConfig, settings, source=str(path), section="network")
    theirs, weights = stage.adopt(theirs, dict(saved.weights))
    _check_network(theirs, stage, path)
    checkpoints.load_weights(stage.network, weights, source=str(path))
    states = _dictionary((saved.trainer or {}).get("trainables"))
    anew = []
    for name, trainable in stage.trainables.items():
        if trainable is stage.network:
            continue
        own, state = trainable.state_dict(), _dictionary(states.get(name))
        if {n: v.shape for n, v in own.items()} == {n: getattr(v, "shape", None) for n, v in state.items()}:
            checkpoints.load_weights(trainable, state, source=f"{path}, trainable {name}")
        else:
            anew.append(name)
    log.info("starting from the weights of %s%s", path, f"; new: {', '.join(anew)}" if anew else "")
    return {"file": str(path), "step": saved.info.get("step")}


def _dictionary(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _check_network(theirs: Config, stage: Stage, path: Path) -> None:
    """Refuse settings that differ, also those that no weight's shape shows."""
    changed = [
        f"network.{name} is {old!r}, here {new!r}"
        for name, old, new in differences(to_dict(theirs), to_dict(stage.network_config))
        if name.rsplit(".", 1)[-1] not in NOT_ARCHITECTURE_KEYS and name.split(".")[0] not in stage.training_only
    ]
    if changed:
        raise CheckpointError(
            f"init: {path} holds another network: {'; '.join(changed)}; set these as there, or choose another init"
        )

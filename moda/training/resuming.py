"""The trainer's state in a checkpoint, and the rule of which run may go on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from moda import checkpoint as checkpoints
from moda.checkpoint import Checkpoint
from moda.config import Tree, differences, parse, to_dict
from moda.errors import CheckpointError, ConfigError
from moda.training import randomness
from moda.training.config import MAY_CHANGE, TrainConfig
from moda.training.players import Average, Player
from moda.training.stage import Stage

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a run is. epoch, position: the next batch. best: lowest validation score so far.

    metrics: of the validation that was best. origin: where its first weights come from and their metrics
    (file, step, metrics), if the run has an `init`.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    best: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)


def resolved(config: TrainConfig, stage: Stage) -> Tree:
    """The whole configuration of a run with every default, as it stands in its checkpoints."""
    tree = to_dict(config)
    tree.update(data=to_dict(stage.data_config), network=to_dict(stage.network_config), loss=to_dict(stage.loss_config))
    return tree


def weights_of(stage: Stage, average: Average | None) -> dict[str, torch.Tensor]:
    """What inference is to use: the averaged weights where there are any."""
    return dict(average.values if average else stage.network.state_dict())


def pack(
    progress: Progress, players: Sequence[Player], average: Average | None, generator: torch.Generator
) -> dict[str, Any]:
    """All that a run needs to go on, bit for bit."""
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "position": progress.position,
        "best": progress.best,
        "metrics": progress.metrics,
        "origin": progress.origin,
        "players": {player.name: dict(player.module.state_dict()) for player in players},
        "optimizers": {player.name: player.optimizer.state_dict() for player in players},
        "average": average.values if average else None,
        "random": randomness.capture(),
        "generator": {"device": generator.device.type, "state": generator.get_state()},
    }


def check_same_run(saved: Tree, config: Tree, path: Path) -> None:
    """Raise `ConfigError` naming the settings in which a saved run differs, beyond those that may change."""
    changed = [(name, old, new) for name, old, new in differences(saved, config) if name not in MAY_CHANGE]
    if changed:
        listed = "; ".join(f"{name} was {old!r}, is {new!r}" for name, old, new in changed)
        raise ConfigError(
            f"{path} belongs to a run with other settings: {listed}; "
            "put them back, choose another output, or start over with --fresh"
        )


def require_same_run(path: Path, stage: Stage, config: TrainConfig) -> Checkpoint:
    """Read a run's last checkpoint; raises `ConfigError` if it is of a run with other settings."""
    saved = checkpoints.load(path, stage=stage.name)
    check_same_run(_with_defaults(saved.config, stage, str(path)), resolved(config, stage), path)
    return saved


def _with_defaults(saved: Tree, stage: Stage, source: str) -> Tree:
    """A run's settings with those that this version added, at their defaults: they do what was done before."""
    sections = {"data": stage.DataConfig, "network": stage.NetworkConfig, "loss": stage.LossConfig}
    try:
        filled = to_dict(parse(TrainConfig, saved, source=source))
        return filled | {name: to_dict(parse(cls, saved[name], source=source)) for name, cls in sections.items()}
    except (ConfigError, KeyError):  # settings that there no longer are: `check_same_run` names them
        return saved


def unpack(
    path: Path,
    stage: Stage,
    config: TrainConfig,
    progress: Progress,
    players: Sequence[Player],
    average: Average | None,
    generator: torch.Generator,
) -> None:
    """Load a run's last checkpoint into everything given."""
    saved = require_same_run(path, stage, config)
    state = saved.trainer
    if state is None:
        raise CheckpointError(f"{path} holds no trainer state, so training cannot go on from it; use --fresh")
    if config.optimizer.schedule == "cosine" and saved.config["trainer"]["steps"] != config.trainer.steps:
        log.warning("trainer.steps changed under a cosine schedule: the learning rate jumps to the new curve")
    for player in players:
        checkpoints.load_weights(player.module, state["players"][player.name], source=f"{path}, player {player.name}")
        player.optimizer.load_state_dict(state["optimizers"][player.name])
    if average is not None:
        for name, value in average.values.items():
            value.copy_(state["average"][name])
    randomness.restore(state["random"])
    if state["generator"]["device"] == generator.device.type:
        generator.set_state(state["generator"]["state"].cpu())
    else:
        log.warning("the run was on %s: its noise goes on from a new seed here", state["generator"]["device"])
        generator.manual_seed(randomness.derive(config.seed, state["step"]))
    progress.step, progress.epoch = state["step"], state["epoch"]
    progress.position, progress.best = state["position"], state["best"]
    progress.metrics, progress.origin = state.get("metrics", {}), state.get("origin", {})

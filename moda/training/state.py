"""The trainer's state in a checkpoint, and the rule of which run may go on."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch.utils.data import Dataset

from moda import checkpoint as checkpoints
from moda.checkpoint import Checkpoint
from moda.config import Tree, differences, parse, to_dict
from moda.errors import CheckpointError, ConfigError
from moda.training.config import RESUMABLE_CHANGES, TrainConfig
from moda.training.stage import Stage
from moda.training.trainable import Trainable, WeightAverage

log = logging.getLogger(__name__)


@dataclass
class TrainState:
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


@dataclass(frozen=True)
class TrainResult:
    """How a run ended. best: lowest validation score, if the stage gives one. interrupted: number of the signal
    that ended it early, or None.

    before, after: metrics of the weights it began with (`init`) and of best.pt, where there are any.
    """

    step: int
    best: float | None
    interrupted: int | None
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Of the command: 0, or as shells count a signal."""
        return 0 if self.interrupted is None else 128 + self.interrupted


def resolved(config: TrainConfig, stage: Stage) -> Tree:
    """The whole configuration of a run with every default, as it stands in its checkpoints."""
    tree = to_dict(config)
    tree.update(data=to_dict(stage.data_config), network=to_dict(stage.network_config), loss=to_dict(stage.loss_config))
    return tree


def weights_of(stage: Stage, average: WeightAverage | None) -> dict[str, torch.Tensor]:
    """What inference is to use: the averaged weights where there are any."""
    return dict(average.values if average else stage.network.state_dict())


def pack(
    progress: TrainState,
    trainables: Sequence[Trainable],
    average: WeightAverage | None,
    data: dict[str, str],
) -> dict[str, Any]:
    """All that a run needs to go on, bit for bit; its random numbers follow from its seed (`randomness`)."""
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "position": progress.position,
        "best": progress.best,
        "metrics": progress.metrics,
        "origin": progress.origin,
        "trainables": {trainable.name: dict(trainable.module.state_dict()) for trainable in trainables},
        "scalers": {trainable.name: trainable.scaler.state_dict() for trainable in trainables},
        "optimizers": {trainable.name: trainable.optimizer.state_dict() for trainable in trainables},
        "average": average.values if average else None,
        "data": data,
    }


@runtime_checkable
class Fingerprinted(Protocol):
    """A dataset that can tell whether another one holds the same data."""

    def fingerprint(self) -> str:
        """Equal for equal data, wherever it lies."""
        ...


def fingerprints(train: Dataset[Any], validation: Dataset[Any]) -> dict[str, str]:
    """What a run's data are known by; "" for a set that cannot tell."""
    sets = {"training": train, "validation": validation}
    return {name: each.fingerprint() if isinstance(each, Fingerprinted) else "" for name, each in sets.items()}


def check_same_run(saved: Tree, config: Tree, path: Path, may_change: Collection[str] = RESUMABLE_CHANGES) -> None:
    """Raise `ConfigError` naming the settings in which a saved run differs, beyond those that may change."""
    changed = [(name, old, new) for name, old, new in differences(saved, config) if name not in may_change]
    if changed:
        listed = "; ".join(f"{name} was {old!r}, is {new!r}" for name, old, new in changed)
        raise ConfigError(
            f"{path} belongs to a run with other settings: {listed}; "
            "put them back, choose another output, or start over with --fresh"
        )


def require_same_run(path: Path, stage: Stage, config: TrainConfig, data: dict[str, str]) -> Checkpoint:
    """Read a run's last checkpoint; raises `ConfigError` if it is of a run with other settings or on other data.

    data: what `fingerprints` gives here. Where the run's are known, its data may lie elsewhere.
    """
    saved = checkpoints.load(path, stage=stage.name)
    known = (saved.trainer or {}).get("data")
    if isinstance(known, dict) and any(_of_earlier_form(known.get(name), here) for name, here in data.items()):
        known = None  # they cannot be compared: the data have to lie where they did
    places = {f"data.{name}" for name, value in stage.data_config if isinstance(value, Path)} if known else set()
    check_same_run(
        _with_defaults(saved.config, stage, str(path)), resolved(config, stage), path, RESUMABLE_CHANGES | places
    )
    if known and known != data:
        other = [name for name in data if not isinstance(known, dict) or known.get(name) != data[name]]
        where = ", ".join(str(value) for _, value in stage.data_config if isinstance(value, Path))
        raise ConfigError(
            f"{path} belongs to a run on other {' and '.join(other)} data than {where} holds now; "
            "give it back what it had, choose another output, or start over with --fresh"
        )
    return saved


def _of_earlier_form(saved: object, here: str) -> bool:
    """Whether a fingerprint was made before the files of each clip had a digest of their own."""
    return here.startswith("2-") and bool(saved) and not str(saved).startswith("2-")


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
    progress: TrainState,
    trainables: Sequence[Trainable],
    average: WeightAverage | None,
    data: dict[str, str],
) -> None:
    """Load a run's last checkpoint into everything given."""
    saved = require_same_run(path, stage, config, data)
    state = saved.trainer
    if state is None:
        raise CheckpointError(f"{path} holds no trainer state, so training cannot go on from it; use --fresh")
    if config.optimizer.schedule == "cosine" and saved.config["trainer"]["steps"] != config.trainer.steps:
        log.warning("trainer.steps changed under a cosine schedule: the learning rate jumps to the new curve")
    try:
        for trainable in trainables:
            weights = state["trainables"][trainable.name]
            checkpoints.load_weights(trainable.module, weights, source=f"{path}, trainable {trainable.name}")
            trainable.resume(state["optimizers"][trainable.name], state.get("scalers", {}).get(trainable.name, {}))
        counts = [state[name] for name in ("step", "epoch", "position")]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError(f"step, epoch and position are {counts}")
        progress.step, progress.epoch, progress.position = counts
        if average is not None:
            average.resume(state["average"], progress.step)
        progress.best = None if state["best"] is None else float(state["best"])
        progress.metrics = {str(name): float(value) for name, value in state.get("metrics", {}).items()}
        progress.origin = dict(state.get("origin", {}))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError, OverflowError) as error:
        raise CheckpointError(
            f"the trainer state in {path} is not one of this run ({type(error).__name__}: {error}); "
            "start over with --fresh, or take its weights with init"
        ) from error

"""The stages by name. Modules are imported on access, not before.

A new stage is a folder with config.py (`NetworkConfig`, `LossConfig`), network.py (`build(config) -> nn.Module`) and
stage.py (the `Stage` class), and one line in `_STAGES`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from moda.config import Tree, merge, parse
from moda.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from torch import nn

    from moda.checkpoint import Checkpoint
    from moda.training.config import TrainConfig
    from moda.training.stage import Stage

_MORE_VALUES = 4_000_000
"""That a network may make beside those its checkpoint holds: what can be computed is not stored."""
_STAGES = {
    "audio2repr": ("Audio2ReprStage", "SequenceConfig"),
    "faco": ("FaCoStage", "SequenceConfig"),
    "renderer": ("RendererStage", "FramesConfig"),
    "speech": ("SpeechStage", "SpeechDataConfig"),
    "sync": ("SyncStage", "SyncDataConfig"),
}
"""Folder of a stage under moda/stages -> its class in stage.py, and that of its `data` section in data/settings.py."""


class Sections(NamedTuple):
    """A stage's own sections of a train YAML: their classes, or what was read of one."""

    data: Any
    network: Any
    loss: Any


class _Stages(Mapping[str, "type[Stage]"]):
    """Stage classes by name, imported on access."""

    def __getitem__(self, name: str) -> type[Stage]:
        if name not in _STAGES:
            raise KeyError(name)
        module = import_module(f"moda.stages.{name}.stage")
        stage: type[Stage] = getattr(module, _STAGES[name][0])
        return stage

    def __iter__(self) -> Iterator[str]:
        return iter(_STAGES)

    def __len__(self) -> int:
        return len(_STAGES)


STAGES: Mapping[str, type[Stage]] = _Stages()


def find_stage(name: str, *, source: str = "configuration") -> type[Stage]:
    """The stage class of that name; raises `ConfigError` naming the stages there are."""
    _require(name, source)
    return STAGES[name]


def find_sections(name: str, *, source: str = "configuration") -> Sections:
    """The classes of a stage's sections, without loading the stage: a configuration is checked before that.

    Raises `ConfigError` naming the stages there are.
    """
    _require(name, source)
    data, own = import_module("moda.data.settings"), import_module(f"moda.stages.{name}.config")
    return Sections(getattr(data, _STAGES[name][1]), own.NetworkConfig, own.LossConfig)


def parse_sections(name: str, data: Tree, network: Tree, loss: Tree, *, source: str) -> Sections:
    """The stage's sections of a train YAML; raises `ConfigError` for an unknown stage or key."""
    classes = find_sections(name, source=source)
    trees = {"data": data, "network": network, "loss": loss}
    return Sections(*(parse(getattr(classes, key), tree, source=source, section=key) for key, tree in trees.items()))


def build_stage(config: TrainConfig, *, source: str) -> Stage:
    """The stage of a train config, with weights that depend on its seed alone.

    source: what to call the config in a message. Raises `ConfigError` for an unknown stage or key.
    """
    from moda.nn.building import building
    from moda.training.randomness import seed_everything

    sections = parse_sections(config.stage, config.data, config.network, config.loss, source=source)
    seed_everything(config.seed)
    with building(source):
        return find_stage(config.stage, source=source)(*sections)


def build_network(stage: str, config: dict[str, Any], *, source: str = "configuration") -> nn.Module:
    """The network that a stage's checkpoint holds, with weights still to be loaded.

    config: the `network` section. Weights to start training from (paths in it) are not read.
    """
    _require(stage, source)
    from moda.nn.building import building

    settings = parse(find_sections(stage).network, config, source=source, section="network")
    with building(source):
        network: nn.Module = import_module(f"moda.stages.{stage}.network").build(settings)
    return network


def load_network(loaded: Checkpoint, changes: Tree, *, source: str) -> nn.Module:
    """The network of a checkpoint with its weights, on the CPU; changes: merged into its `network` section.

    Raises `CheckpointError` naming `source` if its settings and weights do not fit each other; a network larger than
    the weights is not begun.
    """
    from moda.checkpoint import load_weights, section
    from moda.nn.building import building

    config = merge(section(loaded, "network", source=source), changes)
    values = 2 * sum(value.numel() for value in loaded.weights.values()) + _MORE_VALUES
    try:
        with building(source, values=values, tensors=20 * len(loaded.weights) + 1000):
            network = build_network(loaded.stage, config, source=source)
    except ConfigError as error:
        raise CheckpointError(f"{error}; train it again") from error
    load_weights(network, loaded.weights, source=source)
    return network


def _require(name: str, source: str) -> None:
    if name not in _STAGES:
        near = difflib.get_close_matches(name, _STAGES, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"unknown stage '{name}' in {source}, wanted one of {', '.join(_STAGES)}{hint}")

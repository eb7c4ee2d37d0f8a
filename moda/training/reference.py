"""Reference curves of a configuration: what its losses, validation and data were like where it was known to go well.

CONFIG.reference.json beside CONFIG.yaml:

    made        what made it, where and of which data, in words
    settings    the sections network and loss, in which a run must agree to be compared
    data        statistics of its training set (`moda.data.statistics`)
    training, validation   steps, and values at these steps by name
    seconds_per_step
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moda import __version__
from moda.config import Tree
from moda.device import describe_device
from moda.errors import DataError
from moda.files import write_json
from moda.reading import read_json

MAX_POINTS = 24
SECTIONS = ("network", "loss")


@dataclass(frozen=True)
class Curves:
    """steps, and by name as many values."""

    steps: list[int]
    values: dict[str, list[float]]

    def at(self, step: int) -> dict[str, float]:
        """Values at a step, linear between those that are known."""
        return {name: float(np.interp(step, self.steps, values)) for name, values in self.values.items()}


@dataclass(frozen=True)
class Reference:
    """See the file's head."""

    made: str
    settings: Tree
    data: dict[str, float]
    training: Curves
    validation: Curves
    seconds_per_step: float

    @staticmethod
    def load(path: Path) -> Reference:
        """Raises `DataError` if it is no reference."""
        record = read_json(path)
        try:
            training, validation = _curves(record["training"]), _curves(record["validation"])
            data = {str(name): float(value) for name, value in record["data"].items()}
            seconds = float(record["seconds_per_step"])
            return Reference(str(record["made"]), dict(record["settings"]), data, training, validation, seconds)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path} is no reference of a training ({type(error).__name__}: {error}); make one with "
                "--write-reference, or remove it"
            ) from error

    def write(self, path: Path) -> None:
        """Raises `OutputError` if the place cannot be written."""
        record = {"made": self.made, "settings": self.settings, "data": self.data}
        for name, curves in (("training", self.training), ("validation", self.validation)):
            values = {key: [_rounded(value) for value in row] for key, row in curves.values.items()}
            record[name] = {"steps": curves.steps, "values": values}
        write_json(path, record | {"seconds_per_step": _rounded(self.seconds_per_step)})


def of_run(folder: Path, settings: Tree, data: dict[str, float], device: Any) -> Reference:
    """The reference that a run's tensorboard folder makes; raises `DataError` if it holds no training."""
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0})
    events.Reload()
    found = {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()[SCALARS]}
    seconds = list(found.get("run/seconds_per_step", {}).values())
    training = _group(found, "train/")
    if not seconds or not training.steps:
        raise DataError(f"{folder} holds no losses of a training; train first, with tensorboard in trainer.loggers")
    words = f"moda {__version__}, {training.steps[-1]} steps on {describe_device(device)}"
    if "clips" in data:
        words += f", {data['clips']:.0f} clips, {data['minutes']:.1f} minutes"
    chosen = {name: settings[name] for name in SECTIONS}
    return Reference(words, chosen, data, training, _group(found, "validation/"), float(np.median(seconds)))


def _group(found: dict[str, dict[int, float]], prefix: str) -> Curves:
    rows = {tag.removeprefix(prefix): row for tag, row in found.items() if tag.startswith(prefix)}
    common = sorted(set.intersection(*(set(row) for row in rows.values()))) if rows else []
    chosen = np.unique(np.linspace(0, len(common) - 1, min(MAX_POINTS, len(common))).round().astype(int))
    steps = [common[i] for i in chosen]
    return Curves(steps, {name: [row[step] for step in steps] for name, row in rows.items()})


def _curves(record: Any) -> Curves:
    steps = [int(step) for step in record["steps"]]
    values = {str(name): [float(value) for value in row] for name, row in record["values"].items()}
    if steps != sorted(set(steps)) or any(len(row) != len(steps) for row in values.values()):
        raise ValueError("steps and values do not fit each other")
    return Curves(steps, values)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")

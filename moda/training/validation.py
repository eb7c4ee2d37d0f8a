"""Looking at a stage without changing it: validation, preview, dry run."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from moda.training.config import TrainConfig, TrainerConfig
from moda.training.loading import validation_batches
from moda.training.randomness import derive, isolated
from moda.training.runtime import Runtime
from moda.training.stage import Stage
from moda.training.trainable import WeightAverage

_VALIDATION_SEED = 5


@dataclass(frozen=True)
class DryRun:
    """One batch through everything, nothing written.

    shapes: of the batch's tensors by name. losses, metrics: values by name. previews: shapes by name.
    seconds: by phase (prepare, batch, losses, validate, preview).
    """

    shapes: dict[str, tuple[int, ...]]
    losses: dict[str, float]
    metrics: dict[str, float]
    previews: dict[str, tuple[int, ...]]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Pace:
    """Seconds that a run takes: to start, a step, and a validation of the whole set."""

    start: float
    step: float
    validation: float

    def of(self, trainer: TrainerConfig, steps: int) -> float:
        """Seconds of so many steps of a run."""
        return self.start + steps * self.step + math.ceil(steps / trainer.validate_every) * self.validation


class Validator:
    """Runs a stage in eval mode, under averaged weights if there are any, with seeds of its own.

    Everything is afterwards as it was: weights, mode, generators.
    """

    def __init__(self, stage: Stage, config: TrainConfig, runtime: Runtime) -> None:
        self.stage, self.config, self.runtime = stage, config, runtime

    @contextmanager
    def evaluating(self, average: WeightAverage | None) -> Iterator[None]:
        """The conditions under which validate and preview are called."""
        weights = average.applied(self.stage.network) if average else nullcontext()
        with isolated(derive(self.config.seed, _VALIDATION_SEED)), torch.no_grad(), weights:
            self.stage.eval()
            try:
                yield
            finally:
                self.stage.train()

    def metrics(self, dataset: Dataset[Any], average: WeightAverage | None) -> dict[str, float]:
        """Mean of each metric over the samples of a set, summarised by the stage."""
        sums: dict[str, float] = defaultdict(float)
        count = 0
        with self.evaluating(average):
            for samples, batch in validation_batches(self.stage, dataset, self.config, self.runtime):
                for name, value in self.stage.validate(batch).items():
                    sums[name] += samples * float(value)
                count += samples
        return self.stage.summarise({name: value / count for name, value in sums.items()})

    def preview(self, dataset: Dataset[Any], average: WeightAverage | None) -> dict[str, np.ndarray]:
        """The preview of a set's first batch."""
        with self.evaluating(average):
            return self.stage.preview(self.first(dataset))

    def first(self, dataset: Dataset[Any]) -> Any:
        """A set's first batch."""
        return next(validation_batches(self.stage, dataset, self.config, self.runtime))[1]


class Stopwatch:
    """Seconds of named phases."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Time a block under a name."""
        began = time.perf_counter()
        yield
        self.seconds[phase] = time.perf_counter() - began


def shapes(batch: Any, name: str = "") -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a (nested) batch, by dotted name."""
    if isinstance(batch, Tensor):
        return {name or "batch": tuple(batch.shape)}
    parts: dict[str, tuple[int, ...]] = {}
    if isinstance(batch, dict):
        items: Any = batch.items()
    else:
        items = enumerate(batch) if isinstance(batch, (list, tuple)) else ()
    for key, value in items:
        parts.update(shapes(value, f"{name}.{key}" if name else str(key)))
    return parts

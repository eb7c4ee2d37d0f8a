"""Looking at a stage without changing it: validation and preview."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from moda.training.config import TrainConfig
from moda.training.loading import validation_batches
from moda.training.randomness import derive, isolated, seed_everything
from moda.training.runtime import Runtime
from moda.training.stage import Stage
from moda.training.trainable import WeightAverage

_VALIDATION_SEED = 5


class Validator:
    """Runs a stage in eval mode, under averaged weights if there are any, with seeds of its own.

    Everything is afterwards as it was: weights, mode, generators.
    """

    def __init__(self, stage: Stage, config: TrainConfig, runtime: Runtime) -> None:
        self.stage, self.config, self.runtime = stage, config, runtime

    @contextmanager
    def evaluating(self, average: WeightAverage | None) -> Iterator[None]:
        """The conditions under which validate and preview are called."""
        weights = average.applied() if average else nullcontext()
        with isolated(derive(self.config.seed, _VALIDATION_SEED)), torch.no_grad(), weights:
            self.stage.eval()
            try:
                yield
            finally:
                self.stage.train()

    def metrics(self, dataset: Dataset[Any], average: WeightAverage | None) -> dict[str, float]:
        """Mean of each metric over the samples of a set, summarised by the stage.

        Every process validates its share of the batches with the main one's buffers; all get the same metrics.
        """
        averaged = average.model.module.buffers() if average else ()
        self.runtime.take_from_main([*self.stage.buffers(), *averaged])
        found = []
        with self.evaluating(average):
            for number, samples, batch in validation_batches(
                self.stage, dataset, self.config, self.runtime, shared=True
            ):
                seed_everything(derive(self.config.seed, _VALIDATION_SEED, number))
                values = {name: float(value) for name, value in self.stage.validate(batch).items()}
                found.append((number, samples, values))
        sums: dict[str, float] = defaultdict(float)
        count = 0
        for _, samples, values in sorted(part for parts in self.runtime.gather(found) for part in parts):
            count += samples
            for name, value in values.items():
                sums[name] += samples * value
        return self.stage.summarise({name: value / count for name, value in sums.items()})

    def preview(self, dataset: Dataset[Any], average: WeightAverage | None) -> dict[str, np.ndarray]:
        """The preview of a set's first batch."""
        with self.evaluating(average):
            return self.stage.preview(self.first(dataset))

    def first(self, dataset: Dataset[Any]) -> Any:
        """A set's first batch."""
        return next(validation_batches(self.stage, dataset, self.config, self.runtime))[2]

"""A first check of a configuration: can its networks learn one batch by heart?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from moda.training.config import TrainConfig
from moda.training.diagnosis import losses
from moda.training.trainer import Trainer

EDGE_STEPS = 5
"""Steps at the start and the end whose losses are averaged: those with noise differ from step to step."""


@dataclass(frozen=True)
class Overfit:
    """Loss of the network over the first and last steps, and the share of the first that is wanted at most."""

    first: float
    last: float
    wanted: float

    @property
    def learned(self) -> bool:
        """Whether it fell far enough."""
        return self.last <= self.wanted * self.first


def for_overfitting(config: TrainConfig, steps: int) -> TrainConfig:
    """The run's settings, at its full learning rate from the first step on."""
    optimizer = config.optimizer.model_copy(update={"warmup": 0, "schedule": "constant"})
    trainer = config.trainer.model_copy(update={"steps": steps})
    return config.model_copy(update={"optimizer": optimizer, "trainer": trainer})


def overfit(trainer: Trainer, on_step: Callable[[int, float], None]) -> Overfit:
    """Train on the first batch alone until it is learned; nothing is written.

    on_step: gets each step with the network's loss.
    trainer: of `for_overfitting`, with fresh=True. The loss leaves the adversarial term out, which must not fall.
    """
    batch = repeat(next(iter(trainer.start())))
    stage = trainer.stage
    network = next(name for name, module in stage.trainables.items() if module is stage.network)
    found = []
    for step in range(1, trainer.config.trainer.steps + 1):
        trainer.update(batch)
        found.append(losses(trainer.means.take()[0], stage.adversary)[network])
        trainer.progress.step = step
        on_step(step, found[-1])
        if step >= 2 * EDGE_STEPS and np.mean(found[-EDGE_STEPS:]) <= stage.overfit_share * np.mean(found[:EDGE_STEPS]):
            break
    first, last = (float(np.mean(part)) for part in (found[:EDGE_STEPS], found[-EDGE_STEPS:]))
    return Overfit(first, last, stage.overfit_share)

"""A first check of a configuration: can its networks learn one batch by heart, and what belongs to what in it?

A loss may fall without anything being learned: from where random weights put it to that of an answer which is the same
for every input. So the batch is also given with its targets exchanged (`mispaired`): who has learned it is worse then.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moda.training.config import TrainConfig
from moda.training.diagnosis import losses
from moda.training.trainer import Trainer

EDGE_STEPS = 5
"""Steps at the start and the end whose losses are averaged: those with noise differ from step to step."""
WANTED = 0.8
"""Share of its first loss, and of the loss with exchanged targets, that is wanted at most."""


@dataclass(frozen=True)
class Overfit:
    """The network's loss over the first and the last steps; after these, of the batch and with its targets exchanged.

    exchanged: None where that was not looked at, as the loss has not fallen, or the targets are all the same.
    """

    first: float
    last: float
    paired: float = 0.0
    exchanged: float | None = None

    @property
    def fallen(self) -> bool:
        """Whether the loss fell far enough."""
        return self.last <= WANTED * self.first

    @property
    def learned(self) -> bool:
        """Whether it also depends on which target is whose."""
        return self.fallen and (self.exchanged is None or self.paired <= WANTED * self.exchanged)


def for_overfitting(config: TrainConfig, steps: int) -> TrainConfig:
    """The run's settings, at its full learning rate from the first step on, with samples to exchange targets with."""
    optimizer = config.optimizer.model_copy(update={"warmup": 0, "schedule": "constant"})
    trainer = config.trainer.model_copy(update={"steps": steps, "batch": max(2, config.trainer.batch)})
    return config.model_copy(update={"optimizer": optimizer, "trainer": trainer})


def overfit(trainer: Trainer, on_step: Callable[[int, float], None]) -> Overfit:
    """Train on the first batch alone until it is learned; nothing is written.

    on_step: gets each step with the network's loss.
    trainer: of `for_overfitting`, with fresh=True. The loss leaves the adversarial term out, which must not fall.
    """
    batch = next(iter(trainer.start()))
    other = mispaired(batch, trainer.stage.targets)
    network = next(name for name, module in trainer.stage.trainables.items() if module is trainer.stage.network)
    found: list[float] = []
    result = Overfit(np.inf, np.inf)
    for step in range(1, trainer.config.trainer.steps + 1):
        trainer.update(repeat(batch))
        found.append(losses(trainer.means.take()[0], trainer.stage.adversary)[network])
        trainer.progress.step = step
        on_step(step, found[-1])
        if step % EDGE_STEPS and step < trainer.config.trainer.steps:
            continue
        result = Overfit(*(float(np.mean(part)) for part in (found[:EDGE_STEPS], found[-EDGE_STEPS:])))
        if result.fallen and other is not None:
            pair = (_mean_loss(trainer, network, each) for each in (batch, other))
            result = Overfit(result.first, result.last, *pair)
        if result.learned:
            break
    return result


def mispaired(batch: Any, targets: Set[str]) -> Any | None:
    """The batch in which each sample has the targets of the one before it; None if these are all the same."""
    if isinstance(batch, list):
        parts = [mispaired(part, targets) for part in batch]
        return None if None in parts else parts
    changed: dict[str, Tensor] = {name: values.roll(1, 0) for name, values in batch.items() if name in targets}
    same = all(torch.equal(values, batch[name]) for name, values in changed.items())
    return None if same else {**batch, **changed}


@torch.no_grad()
def _mean_loss(trainer: Trainer, network: str, batch: Any) -> float:
    """Of a batch, over some draws of the noise that are the same for every batch, and over the processes."""
    stage, at, totals = trainer.stage, trainer.progress.step, []
    for draw in range(EDGE_STEPS):
        trainer.progress.step = at + draw
        values = {
            f"{trainable.name}/{name}": float(value)
            for trainable, terms in trainer.losses(batch, part=0)
            for name, value in terms.items()
        }
        totals.append(losses(values, stage.adversary)[network])
    trainer.progress.step = at
    return float(trainer.runtime.average(torch.tensor(float(np.mean(totals)), device=trainer.runtime.device)))

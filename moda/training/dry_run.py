"""Trying a run without writing anything: one batch through everything, and how long steps take."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from moda.training.config import TrainerConfig
from moda.training.loading import size
from moda.training.trainer import Trainer


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


def dry_run(trainer: Trainer) -> DryRun:
    """One batch through losses (with gradients, without an update), validate and preview.

    It starts as `Trainer.run` would: a run in the output folder is read, and refused where `run` would refuse it.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "prepare"):
        stream = trainer.start()
    train, validation = trainer.sets
    with _timed(seconds, "batch"):
        batch = next(iter(stream))
    losses: dict[str, float] = {}
    with _timed(seconds, "losses"):
        with trainer.memory_suffices():
            for trainable, terms in trainer.losses(batch, part=0):
                trainable.zero()
                trainer.means.add(0, {f"{trainable.name}/{name}": value for name, value in terms.items()})
                trainable.backward(terms, share=1.0)
                losses.update({f"{trainable.name}/{name}": float(value.detach()) for name, value in terms.items()})
        trainer.means.read()
    with trainer.validator.evaluating(None):
        check = trainer.validator.first(validation if size(validation) else train)
        with _timed(seconds, "validate"):
            metrics = trainer.stage.summarise(trainer.stage.validate(check))
        with _timed(seconds, "preview"):
            previews = {name: picture.shape for name, picture in trainer.stage.preview(check).items()}
    return DryRun(_shapes(batch), losses, metrics, previews, seconds)


def measure(trainer: Trainer, steps: int) -> Pace:
    """Real steps, to know how long the run will take: nothing is written, the networks have changed after."""
    began = time.monotonic()
    batches = iter(trainer.start())
    started = time.monotonic()
    trainer.update(batches)  # the first step warms up
    warm = time.monotonic()
    for _ in range(steps):
        trainer.update(batches)
    stepped = time.monotonic()
    validation = trainer.sets[1]
    if size(validation):
        trainer.validator.metrics(validation, trainer.average)
    return Pace(started - began, (stepped - warm) / steps, time.monotonic() - stepped)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - began


def _shapes(batch: Any, name: str = "") -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a (nested) batch, by dotted name."""
    if isinstance(batch, Tensor):
        return {name or "batch": tuple(batch.shape)}
    parts: dict[str, tuple[int, ...]] = {}
    if isinstance(batch, dict):
        items: Any = batch.items()
    else:
        items = enumerate(batch) if isinstance(batch, (list, tuple)) else ()
    for key, value in items:
        parts.update(_shapes(value, f"{name}.{key}" if name else str(key)))
    return parts

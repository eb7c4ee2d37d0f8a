"""What the log shows of the steps since its last line: means of their values, which are read from the device late."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from moda.errors import TrainingError
from moda.training.runtime import Runtime

GRADIENT = "gradient"
"""The last part of the name of a gradient's norm."""


class RunningMeans:
    """Means of a step's values since they were last taken, and the speed.

    A read waits until the device has done all that it was given. On the CPU every value is read, and refused if it is
    not finite, as it is added; on a GPU when they are needed: before the log, a validation and a checkpoint.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pending: list[tuple[int, float, list[str], Tensor]] = []
        self._sums: dict[str, float] = defaultdict(float)
        self._steps, self._since = 0, time.monotonic()

    def add(self, step: int, values: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Scalars of a step by trainable/name, `share` times. Raises `TrainingError` as `read` does."""
        self._pending.append((step, share, list(values), torch.stack([v.detach().float() for v in values.values()])))
        if not self._runtime.reads_late:
            self.read()

    def step(self) -> None:
        """Another step is done."""
        self._steps += 1

    def read(self) -> None:
        """Fetch what is still on the device, in one transfer.

        Raises `TrainingError` naming the step and the value that was not finite first. Under fp16 a gradient may be:
        its step was left out, and counts as 0.
        """
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        read = iter(torch.cat([values for *_, values in pending]).tolist())
        for step, share, names, _ in pending:
            for name in names:
                value = next(read)
                if not math.isfinite(value):
                    if name.endswith(f"/{GRADIENT}") and self._runtime.scaled:
                        continue
                    raise TrainingError(_not_finite(step, name, value))
                self._sums[name] += value * share

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time that does not count: the speed is that of training."""
        began = time.monotonic()
        yield
        self._since += time.monotonic() - began

    def take(self) -> tuple[dict[str, float], float]:
        """Means over steps and processes by name, and steps per second; begins anew."""
        self.read()
        sums = torch.tensor(list(self._sums.values()), device=self._runtime.device) / self._steps
        means = dict(zip(self._sums, self._runtime.average(sums).tolist(), strict=True))
        speed = self._steps / max(1e-9, time.monotonic() - self._since)
        self._sums.clear()
        self._steps, self._since = 0, time.monotonic()
        return means, speed


def _not_finite(step: int, name: str, value: float) -> str:
    trainable, _, last = name.rpartition("/")
    what = f"the gradient of '{trainable}'" if last == GRADIENT else f"loss '{name}'"
    return f"step {step}: {what} is {value}; lower optimizer.lr or check the data"

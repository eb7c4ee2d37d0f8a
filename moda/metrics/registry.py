"""The registry of metrics: one decorated function a metric.

A newcomer's recipe: write a function of `PairedTracks` that returns a float or `NotAvailable(why)`,
decorate it with `@metric(...)`, and import its module in `moda/metrics/__init__.py`. The first
paragraph of its docstring is the definition that the report prints.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from moda.metrics.tracks import PairedTracks

Better = Literal["lower", "higher", "one", "zero"]
"""Which way a value is better; "one" and "zero" mean the closer to 1 or 0, from either side."""


@dataclass(frozen=True)
class NotAvailable:
    """A metric that cannot be computed here; `why` is printed in its cell, never a number."""

    why: str

    def __str__(self) -> str:
        return f"not available: {self.why}"


Value = float | NotAvailable
Compute = Callable[[PairedTracks], Value]


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    name: key in files. label: column title. unit: as printed. digits: decimals printed.
    version: raised whenever the same tracks would give another value. definition: one paragraph.
    """

    name: str
    label: str
    unit: str
    better: Better
    version: int
    digits: int
    definition: str
    compute: Compute

    def measure(self, pair: PairedTracks) -> Value:
        """The value on one pair; a value that is not finite becomes `NotAvailable`."""
        value = self.compute(pair)
        if isinstance(value, NotAvailable):
            return value
        return float(value) if math.isfinite(value) else NotAvailable("the result is not a finite number")


METRICS: dict[str, Metric] = {}
"""Registered metrics by name, in the order of the columns."""


def metric(
    *, name: str, label: str, unit: str, better: Better, version: int, digits: int = 2
) -> Callable[[Compute], Compute]:
    """Register the decorated function; raises ValueError when the name is taken or there is no docstring."""

    def register(compute: Compute) -> Compute:
        definition = " ".join((inspect.getdoc(compute) or "").split("\n\n")[0].split())
        if not definition:
            raise ValueError(f"metric '{name}' has no docstring: its first paragraph is the definition printed")
        if name in METRICS:
            raise ValueError(f"metric '{name}' is registered twice")
        METRICS[name] = Metric(name, label, unit, better, version, digits, definition, compute)
        return compute

    return register

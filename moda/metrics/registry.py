"""The registry of metrics: one decorated function a metric.

A newcomer's recipe: write a function of `ClipPair` that returns a float or `NotAvailable(why)`,
decorate it with `@metric(...)`, and import its module in `moda/metrics/__init__.py`. The first
paragraph of its docstring is the definition that the report prints. What it names in `needs` is
there when it is called; where that is missing, the cell says why by itself.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from moda.errors import ModaError
from moda.metrics.clip_pair import ClipPair, MetricSettings
from moda.metrics.values import NotAvailable, Value

__all__ = ["METRICS", "Better", "Compute", "Metric", "Need", "NotAvailable", "Value", "metric"]

Better = Literal["lower", "higher", "one", "zero", "none"]
"""Which way a value is better; "one" and "zero": the closer to 1 or 0, from either side; "none": it describes."""
Need = Literal["tracks", "frame", "pictures", "audio", "samples", "generation"]
"""What a metric needs of a `ClipPair`.

tracks: both faces (always there). frame: pixel positions of both are comparable (`other_framing` is None).
pictures: frames of both videos. audio: `wave`. samples: several seeds. generation: `real_time_factor`.
"""
Compute = Callable[[ClipPair], Value]


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    name: key in files. label: column title. unit: as printed. digits: decimals printed. version: raised
    whenever the same clip would give another value. source: where the definition comes from. definition: one
    paragraph. variant: says which of several ways is used under given settings (weights, say); printed.
    """

    name: str
    label: str
    unit: str
    better: Better
    version: int
    digits: int
    source: str
    needs: tuple[Need, ...]
    definition: str
    compute: Compute
    variant: Callable[[MetricSettings], str] | None = None

    def measure(self, clip: ClipPair) -> Value:
        """The value of one clip; what it needs and is missing, a value that is not finite and a failure
        that people can do something about (`ModaError`) become `NotAvailable`.
        """
        missing = missing_need(clip, self.needs)
        if missing is not None:
            return missing
        try:
            value = self.compute(clip)
        except ModaError as error:
            return NotAvailable(" ".join(str(error).split()))
        if isinstance(value, NotAvailable):
            return value
        return float(value) if math.isfinite(value) else NotAvailable("the result is not a finite number")

    def key(self, settings: MetricSettings) -> str:
        """Changes whenever the same clip would give another value: version and variant."""
        return f"{self.version}" if self.variant is None else f"{self.version} {self.variant(settings)}"


def missing_need(clip: ClipPair, needs: tuple[Need, ...]) -> NotAvailable | None:
    """Why the first need that a clip does not meet is not met; None when all are."""
    for need in needs:
        if need == "frame" and clip.other_framing is not None:
            return NotAvailable(clip.other_framing)
        if need == "pictures" and isinstance(clip.pictures, NotAvailable):
            return clip.pictures
        if need == "audio" and clip.wave is None:
            return NotAvailable("no audio in either video")
        if need == "samples" and isinstance(clip.samples, NotAvailable):
            return clip.samples
        if need == "generation" and isinstance(clip.real_time_factor, NotAvailable):
            return clip.real_time_factor
    return None


METRICS: dict[str, Metric] = {}
"""Registered metrics by name, in the order of the columns."""


def metric(
    *,
    name: str,
    label: str,
    unit: str,
    better: Better,
    version: int,
    digits: int = 2,
    source: str,
    needs: tuple[Need, ...] = ("tracks",),
    variant: Callable[[MetricSettings], str] | None = None,
) -> Callable[[Compute], Compute]:
    """Register the decorated function.

    Raises ValueError when the name is taken, a need is unknown, or there is no docstring or source.
    """

    def register(compute: Compute) -> Compute:
        definition = " ".join((inspect.getdoc(compute) or "").split("\n\n")[0].split())
        if not definition:
            raise ValueError(f"metric '{name}' has no docstring: its first paragraph is the definition printed")
        if not source:
            raise ValueError(f"metric '{name}' names no source of its definition")
        unknown = [need for need in needs if need not in get_args(Need)]
        if unknown:
            raise ValueError(f"metric '{name}' needs {unknown}, wanted some of {get_args(Need)}")
        if name in METRICS:
            raise ValueError(f"metric '{name}' is registered twice")
        METRICS[name] = Metric(name, label, unit, better, version, digits, source, needs, definition, compute, variant)
        return compute

    return register

"""Scores of a row over all its clips at once, which are no mean of clips' values: totals and distances of sets.

Dimension letters: C clips, R draws of C clips.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moda.errors import DataError, ModaError
from moda.metrics.registry import METRICS, Better, Measure, MetricSettings, NotAvailable, definition_of

Samples = Mapping[str, Mapping[str, "Path | NotAvailable"]]


@dataclass(frozen=True)
class ClipSet:
    """A row's clips beside the same true ones.

    clips: C names, those that the row and the ground truth's row both have. values, true_values: by metric the
    values (C,) of the row and of the truth, NaN where there is none. samples, true_samples: by the name of a sampler
    (`moda.metrics.samples`), by clip, the file with its rows, or why there is none.
    """

    clips: tuple[str, ...]
    values: Mapping[str, np.ndarray]
    true_values: Mapping[str, np.ndarray]
    settings: MetricSettings
    samples: Samples = field(default_factory=dict)
    true_samples: Samples = field(default_factory=dict)

    def whole(self) -> np.ndarray:
        """(1, C) the one draw that has each clip once."""
        return np.arange(len(self.clips))[None]


Compute = Callable[[ClipSet, np.ndarray], "np.ndarray | NotAvailable"]
"""Of a set and draws (R, C) of its clips: (R,) values."""


@dataclass(frozen=True, kw_only=True)
class SetMetric(Measure):
    """A registered score over clips.

    drawn: it can be computed of draws of clips, which gives it an interval. sampler: whose rows of each clip it needs.
    """

    compute: Compute
    drawn: bool
    sampler: str | None

    def measure(self, clips: ClipSet, draws: np.ndarray) -> np.ndarray | NotAvailable:
        """(R,) values of draws (R, C); what is not finite, or fails in a way that a user can mend, is not available."""
        if not clips.clips:
            return NotAvailable("no clip was scored")
        try:
            values = self.compute(clips, draws)
        except ModaError as error:
            return NotAvailable(" ".join(str(error).split()))
        if not isinstance(values, NotAvailable) and not np.isfinite(values).all():
            return NotAvailable("the result is not a finite number")
        return values


def check_names(skip: Collection[str]) -> None:
    """Raises `DataError` for a name that is no metric's."""
    known = [*METRICS, *SET_METRICS]
    unknown = sorted(set(skip) - set(known))
    if unknown:
        raise DataError(f"no metric of this name to leave out: {', '.join(unknown)}; there are {', '.join(known)}")


SET_METRICS: dict[str, SetMetric] = {}
"""Registered scores over clips by name, in the order of the columns."""


def set_metric(
    *,
    name: str,
    label: str,
    unit: str,
    better: Better,
    source: str,
    version: int = 1,
    digits: int = 2,
    drawn: bool = False,
    sampler: str | None = None,
    variant: Callable[[MetricSettings], str] | None = None,
) -> Callable[[Compute], Compute]:
    """Register the decorated function; raises ValueError when the name is taken or there is no docstring."""

    def register(compute: Compute) -> Compute:
        if name in SET_METRICS:
            raise ValueError(f"score '{name}' is registered twice")
        SET_METRICS[name] = SetMetric(
            name=name, label=label, unit=unit, better=better, version=version, digits=digits, source=source,
            definition=definition_of(compute, name), compute=compute, drawn=drawn, sampler=sampler,
            variant=variant,
        )  # fmt: skip
        return compute

    return register

"""Results of an evaluation: a row for each method and control, with a score for each clip."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from moda.evaluation.protocol import FixedProtocol
from moda.metrics.over_clips import SetMetric
from moda.metrics.registry import Measure, Metric, MetricSettings, NotAvailable, Value, reason

TRUTH_ROW = "ground truth"
"""The control whose values are the truth's."""


@dataclass(frozen=True)
class Interval:
    """Ends of a confidence interval, in the unit of the values."""

    low: float
    high: float


@dataclass(frozen=True)
class SetScore:
    """One score of a row over all its clips: its value, its interval over draws of clips, and how many clips."""

    value: Value
    interval: Interval | None
    clips: int


class ClipValues(Mapping[str, Value]):
    """Values by metric in little memory: eight bytes a number; names and reasons are shared between clips."""

    __slots__ = ("_numbers", "_places", "_reasons")

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._places = _places(tuple(values))
        self._numbers = array("d", [math.nan if isinstance(v, NotAvailable) else v for v in values.values()])
        self._reasons = _shared(tuple((v.why, v.lasting) for v in values.values() if isinstance(v, NotAvailable)))

    def __getitem__(self, name: str) -> Value:
        place = self._places[name]
        number = self._numbers[place]
        return self._reasons[sum(map(math.isnan, self._numbers[:place]))] if math.isnan(number) else number

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __reduce__(self) -> tuple[type[ClipValues], tuple[dict[str, Value]]]:
        return ClipValues, (dict(self),)


@lru_cache(maxsize=64)
def _places(names: tuple[str, ...]) -> dict[str, int]:
    """The place of each name, once for all clips."""
    return {name: place for place, name in enumerate(names)}


@lru_cache(maxsize=1 << 12)
def _shared(reasons: tuple[tuple[str, bool], ...]) -> tuple[NotAvailable, ...]:
    """The same reasons, once for all clips that have them."""
    return tuple(reason(why, lasting) for why, lasting in reasons)


@dataclass(frozen=True, slots=True)
class ClipScore:
    """One clip of one row.

    values: by metric name. frames: compared. notes: remarks for the reader. opening: (T,) lip opening after
    rigid alignment, pixels. strip: picture of some of its frames, relative to the output folder. samples: names of the
    files of its rows by sampler (`moda.metrics.samples`), in the folder of cached scores.
    """

    values: Mapping[str, Value]
    frames: int
    notes: tuple[str, ...] = ()
    opening: np.ndarray | None = None
    strip: str | None = None
    samples: Mapping[str, str | NotAvailable] = field(default_factory=dict)


@dataclass
class MethodScores:
    """A method or a control: its scored clips and, by clip, why others were not scored; scores over all of them."""

    name: str
    control: bool
    scores: dict[str, ClipScore] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    overall: dict[str, SetScore] = field(default_factory=dict)

    def by_clip(self, metric: str) -> dict[str, float]:
        """The clips' values of a metric, where there is one."""
        values = {clip: score.values[metric] for clip, score in self.scores.items() if metric in score.values}
        return {clip: value for clip, value in values.items() if not isinstance(value, NotAvailable)}

    def values(self, metric: str) -> list[float]:
        """The same without the names."""
        return list(self.by_clip(metric).values())

    def missing(self, metric: str) -> dict[str, str]:
        """Why there is no value, by scored clip that has none."""
        values = {clip: score.values[metric] for clip, score in self.scores.items() if metric in score.values}
        return {clip: value.why for clip, value in values.items() if isinstance(value, NotAvailable)}


@dataclass(frozen=True)
class Evaluation:
    """Contents of the reports: the ground truth, the other controls, then methods.

    clips: those with any video of a pair. truths: hash of each true video by scored clip. protocol: what was fixed, if
    anything was. seconds: of work, by part.
    """

    true: Path
    generated: dict[str, Path]
    rows: list[MethodScores]
    clips: list[str]
    remarks: list[str]
    metrics: dict[str, Metric]
    set_metrics: dict[str, SetMetric]
    settings: MetricSettings
    truths: dict[str, str] = field(default_factory=dict)
    protocol: FixedProtocol | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Measure]:
        """Metrics and scores over clips, by name."""
        return {**self.metrics, **self.set_metrics}

    @property
    def truth(self) -> MethodScores:
        """The ground truth's row."""
        return next(row for row in self.rows if row.name == TRUTH_ROW)

    @property
    def methods(self) -> list[MethodScores]:
        """The rows that are no controls."""
        return [row for row in self.rows if not row.control]

    @property
    def complete(self) -> bool:
        """Every pair of every method could be scored."""
        return not any(row.refused for row in self.methods)

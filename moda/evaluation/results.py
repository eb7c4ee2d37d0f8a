"""Results of an evaluation: a row for each method and control, with a score for each clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moda.evaluation.protocol import FixedProtocol
from moda.metrics.over_clips import SetMetric
from moda.metrics.registry import Measure, Metric, MetricSettings, NotAvailable, Value

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


@dataclass(frozen=True)
class ClipScore:
    """One clip of one row.

    values: by metric name. frames: compared. notes: remarks for the reader. opening: (T,) lip opening after
    rigid alignment, pixels. strip: picture of some of its frames, relative to the output folder. samples: files of
    its rows by sampler (`moda.metrics.samples`).
    """

    values: dict[str, Value]
    frames: int
    notes: tuple[str, ...] = ()
    opening: np.ndarray | None = None
    strip: str | None = None
    samples: Mapping[str, Path | NotAvailable] = field(default_factory=dict)


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

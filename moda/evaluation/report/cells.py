"""Texts and cells that all forms of the table share: groups of columns, values, directions, explanations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from moda.evaluation.results import Evaluation, Interval, MethodScores
from moda.evaluation.statistics import MIN_CLIPS, Comparison, Difference, compare_rows, mean_interval
from moda.metrics.registry import NOT_ASKED, Measure, Metric, MetricSettings, NotAvailable
from moda.metrics.theval_total import MOTION, QUALITY
from moda.reasons import folded

ARROWS = {"lower": "↓", "higher": "↑", "one": "→1", "zero": "→0", "truth": "→truth", "none": ""}
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The paper's table", ("niqe", "lmd_v", "lmd", "sync_c", "ma", "tcm", "diversity_head", "diversity_eyes")),
    (
        "Lips",
        (
            "lmd_aligned",
            "lmd_v_aligned",
            "lmd_soft_dtw",
            "lmd_centred",
            "lip_score",
            "lip_leak",
            "lip_corr",
            "lip_corr_best",
            "lip_lag",
            "opening_ratio",
            "lips_closed",
            "silence",
        ),
    ),
    ("Sync", ("sync_d", "sync_offset", "sync_c0")),
    ("THEval", (*MOTION, *QUALITY, "theval_5", "theval_8")),
    (
        "Head and eyes",
        (
            "jitter",
            "akd",
            "head_spread",
            "head_speed",
            "head_range",
            "beat_alignment",
            "shape_frechet",
            "blink_rate",
            "blink_duration",
        ),
    ),
)
"""Metrics of each table, by title; those of no group are in the last, `OTHER_GROUP_TITLE`."""
OTHER_GROUP_TITLE = "Picture and speed"
NONE = "n/a"
"""Text of a cell without a value; the reason is in the list below the tables, once."""
EXPLANATION = (
    f"Means over clips; in brackets the 95 % bootstrap interval of the mean over clips, from {MIN_CLIPS} clips on; `n` "
    "is given where it is not the row's number of clips. n/a: not available, for the reason listed below. Rows in "
    "italics are controls, computed from the true tracks, the truth first: a method that does not beat the still "
    "mouth has not shown good lips. A signed value is given with its lowest and highest."
)
PAIRS_EXPLANATION = (
    "The row's first method less the second on the same clips (for metrics that are better near 1 or 0: of their "
    "distances from it), with the 95 % interval of the paired bootstrap, and the verdict on the first. Under "
    f"{MIN_CLIPS} clips nothing is claimed. Intervals are not corrected for their number."
)


@dataclass(frozen=True)
class Cell:
    """A row's value of a metric.

    mean: over the clips that have a value; None where there is none. ends: 95 % of the mean, where there is one.
    extent: lowest and highest value, for metrics with a sign. n: values, of so many scored clips.
    """

    metric: Measure
    mean: float | None
    ends: Interval | None
    extent: str
    n: int
    of: int

    @property
    def text(self) -> str:
        """The mean as printed, or `NONE`."""
        sign = "+" if self.metric.better == "zero" else ""
        return NONE if self.mean is None else f"{self.mean:{sign}.{self.metric.digits}f}"

    @property
    def smalls(self) -> list[str]:
        """Interval, range and number of values, those that there are."""
        count = f"n={self.n}" if self.mean is not None and self.n < self.of else ""
        return [text for text in (interval_text(self.ends, self.metric.digits), self.extent, count) if text]

    def __str__(self) -> str:
        return " ".join(f"({text})" if text.startswith("n=") else text for text in (self.text, *self.smalls))


def groups(evaluation: Evaluation) -> list[tuple[str, list[Measure]]]:
    """Titles and columns of the tables, in order, without columns in which no row has a value."""
    columns = {
        name: column
        for name, column in evaluation.columns.items()
        if any(cell(row, column).mean is not None for row in evaluation.rows)
    }
    found = [(title, [columns[name] for name in names if name in columns]) for title, names in GROUPS]
    known = {name for _, names in GROUPS for name in names}
    found.append((OTHER_GROUP_TITLE, [column for name, column in columns.items() if name not in known]))
    return [(title, group) for title, group in found if group]


def cell(row: MethodScores, metric: Measure) -> Cell:
    """The cell of a row and a column."""
    of = len(row.scores)
    if metric.name in row.overall:
        score = row.overall[metric.name]
        if isinstance(score.value, NotAvailable):
            return Cell(metric, None, None, "", 0, of)
        return Cell(metric, score.value, score.interval, "", score.clips, of)
    values = row.values(metric.name)
    if not values:
        return Cell(metric, None, None, "", 0, of)
    extent = f"({min(values):+g} to {max(values):+g})" if metric.better == "zero" and len(values) > 1 else ""
    return Cell(metric, fmean(values), mean_interval(np.array(values)), extent, len(values), of)


def best(evaluation: Evaluation, metric: Measure) -> set[str]:
    """Names of the methods that are best by the printed digits; none where a metric describes or one method has it.

    Near 1 or 0 is told by the mean over clips of the distance from it, so that -3 and +3 are no 0.
    """
    truth = cell(evaluation.truth, metric).mean
    badness = {}
    for row in evaluation.methods:
        mean, values = cell(row, metric).mean, row.values(metric.name)
        if mean is None or metric.better == "none" or (metric.better == "truth" and truth is None):
            continue
        if metric.better in ("one", "zero"):
            aim = 1.0 if metric.better == "one" else 0.0
            badness[row.name] = fmean(abs(value - aim) for value in values or [mean])
        else:
            badness[row.name] = {"lower": mean, "higher": -mean}.get(metric.better, abs(mean - (truth or 0.0)))
    if len(badness) < 2:
        return set()
    least = f"{min(badness.values()):.{metric.digits}f}"
    return {name for name, bad in badness.items() if f"{bad:.{metric.digits}f}" == least}


def interval_text(interval: Interval | None, digits: int) -> str:
    """Both ends in brackets, or nothing."""
    return "" if interval is None else f"[{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def difference_cells(found: Difference, metric: Metric) -> tuple[str, str, str]:
    """Mean, interval and number of clips of a difference of two rows."""
    interval = interval_text(found.interval, metric.digits) or "-"
    return f"{found.mean:+.{metric.digits}f}", interval, str(found.n)


def title(metric: Measure) -> str:
    """Label, unit and direction, as a column's head."""
    return f"{metric.label} [{metric.unit}] {ARROWS[metric.better]}".rstrip()


def direction(metric: Measure) -> str:
    """Which way is better, in words."""
    if metric.better in ("lower", "higher"):
        return f"{metric.better} is better"
    if metric.better == "none":
        return "describes"
    if metric.better == "truth":
        return "better the closer to the ground truth's"
    return f"better the closer to {1 if metric.better == 'one' else 0}"


def definition(metric: Measure, settings: MetricSettings) -> str:
    """One line: unit, direction, version, variant, source and definition."""
    variant = f", by: {metric.variant(settings)}" if metric.variant is not None else ""
    return (
        f"{metric.unit}, {direction(metric)}, version {metric.version}{variant}; source: {metric.source}. "
        f"{metric.definition}"
    )


def footnotes(metrics: Sequence[Measure], settings: MetricSettings) -> list[str]:
    """Of a table's metrics that may be computed in several ways, which way it was: each way once, with its columns."""
    labels: dict[str, list[str]] = {}
    for metric in metrics:
        if metric.variant is not None:
            labels.setdefault(metric.variant(settings), []).append(metric.label)
    return [f"{', '.join(names)}: by {way}." for way, names in labels.items()]


def told_pairs(evaluation: Evaluation) -> tuple[list[Comparison], str]:
    """Pairs of rows of which enough clips tell something, and a line on the others."""
    pairs = compare_rows(evaluation.rows, evaluation.metrics)
    told = [pair for pair in pairs if any(found.interval is not None for found in pair.differences)]
    few = len(pairs) - len(told)
    return (
        told,
        f"{few} of {len(pairs)} pairs have fewer than {MIN_CLIPS} clips in common: too few to tell." if few else "",
    )


def clip_count(row: MethodScores) -> str:
    """How many clips were scored: 12, or 11 of 12."""
    of = len(row.scores) + len(row.refused)
    return str(of) if not row.refused else f"{len(row.scores)} of {of}"


def listed(evaluation: Evaluation) -> tuple[list[str], list[str], list[str]]:
    """Remarks, refusals and missing values, each kind of reason once, with the rows and clips that have it."""
    rows = evaluation.rows
    scored = {row.name: len(row.scores) for row in rows if row.scores}
    notes = [(row.name, clip, note) for row in rows for clip, score in row.scores.items() for note in score.notes]
    refused = [(row.name, clip, why) for row in rows for clip, why in row.refused.items()]
    missing: dict[str, list[tuple[str, str, str]]] = {}
    asked: dict[str, str] = {}
    for row in rows:
        whys: dict[tuple[str, str], list[str]] = {}
        for metric in evaluation.metrics.values():
            for clip, why in row.missing(metric.name).items():
                whys.setdefault((clip, why), []).append(metric.label)
        for name, score in row.overall.items():
            if isinstance(score.value, NotAvailable):
                for clip in row.scores:
                    whys.setdefault((clip, score.value.why), []).append(evaluation.set_metrics[name].label)
        for (clip, why), labels in whys.items():
            if why.startswith(NOT_ASKED):
                asked |= dict.fromkeys(labels, why.removeprefix(f"{NOT_ASKED}: "))
                continue
            missing.setdefault(", ".join(labels), []).append((row.name, clip, why))
    everything = {row.name: len(row.scores) + len(row.refused) for row in rows}
    return (
        [*evaluation.remarks, *(f"{where}: {note}" for where, note in folded(notes, scored))],
        [f"{where}: {why}" for where, why in folded(refused, everything)],
        [
            *(f"{where}: {labels}: {why}" for labels, found in missing.items() for where, why in folded(found, scored)),
            *([f"{NOT_ASKED}: {', '.join(f'{label} ({what})' for label, what in asked.items())}"] if asked else []),
        ],
    )

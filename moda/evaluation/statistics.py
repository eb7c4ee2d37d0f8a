"""Intervals of means over clips, and rows compared in pairs on the clips that both have.

Intervals are bootstrap intervals (Efron and Tibshirani 1993, chapter 14: BCa). Fewer than `MIN_CLIPS` clips get none:
with n clips a bootstrap of the mean cannot leave the range of the values, so that n of n positive differences always
"exclude" 0, which chance alone gives with probability 2 / 2^n; that is under 5 % from n = 6 on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy.special import ndtri
from scipy.stats import bootstrap

from moda.evaluation.results import Interval, MethodScores
from moda.metrics.registry import Better, Metric

LEVEL = 0.95
NORMAL_END = float(ndtri(0.5 + LEVEL / 2))
"""Standard errors from a mean to the end of its normal interval."""
RESAMPLES = 4000
"""Resamples; the ends then move by about 2 % of the width from seed to seed."""
SEED = 0
MAX_RESAMPLED = 1000
"""Of more values the normal interval is given: it is then the same to two digits, and needs no gigabytes."""
MIN_CLIPS = 6
"""Clips from which an interval is given."""
BASELINE_CONTROL = "still mouth"
"""The control that every method is also compared with."""
MAX_ALL_PAIRS_METHODS = 8
"""With more methods than this each is compared with the first only, not every two."""


def mean_interval(values: np.ndarray, samples: int = RESAMPLES) -> Interval | None:
    """BCa bootstrap interval of the mean of (N,) values, one per clip; None for fewer than `MIN_CLIPS`.

    The same values in the same order give the same interval; equal values give one of no width. Of more than
    `MAX_RESAMPLED` values it is the normal interval.
    """
    if len(values) > MAX_RESAMPLED:
        mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return Interval(mean - NORMAL_END * error, mean + NORMAL_END * error)
    return _interval(tuple(np.asarray(values, np.float64).tolist()), samples)


@lru_cache(maxsize=1 << 14)
def _interval(values: tuple[float, ...], samples: int) -> Interval | None:
    """`mean_interval`, once for the table, the page and the records, which all show it."""
    if len(values) < MIN_CLIPS:
        return None
    sample = np.array(values)
    mean = float(sample.mean())
    if np.ptp(sample) <= 1e-12 * max(1.0, abs(mean)):
        return Interval(mean, mean)
    found = bootstrap((sample,), np.mean, n_resamples=samples, confidence_level=LEVEL, method="BCa", rng=SEED)
    return Interval(float(found.confidence_interval.low), float(found.confidence_interval.high))


@dataclass(frozen=True)
class Difference:
    """One metric of two rows on the same clips.

    mean: of first minus second; for metrics that are better near 1 or 0, of their distances from it.
    n: clips that both rows have a value for. verdict: "better", "worse", "no difference shown" and the like,
    of the first row.
    """

    metric: str
    mean: float
    interval: Interval | None
    n: int
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Two rows, and their differences by metric (those with a clip in common)."""

    first: str
    second: str
    differences: tuple[Difference, ...]

    @property
    def summary(self) -> str:
        """One line: on how many metrics the first row is better or worse."""
        if all(found.interval is None for found in self.differences):
            return f"fewer than {MIN_CLIPS} clips in common, too few to tell"
        better, worse = (sum(d.verdict == verdict for d in self.differences) for verdict in ("better", "worse"))
        return f"better on {better}, worse on {worse} of {len(self.differences)} metrics"


def compare_rows(rows: Sequence[MethodScores], metrics: Mapping[str, Metric]) -> list[Comparison]:
    """Every pair of methods (over `MAX_ALL_PAIRS_METHODS`: each with the first), then each with the still mouth."""
    methods = [row for row in rows if not row.control]
    pairs = list(combinations(methods, 2))
    if len(methods) > MAX_ALL_PAIRS_METHODS:
        pairs = [(method, methods[0]) for method in methods[1:]]
    pairs += [(method, row) for method in methods for row in rows if row.control and row.name == BASELINE_CONTROL]
    return [Comparison(a.name, b.name, _differences(a, b, metrics)) for a, b in pairs]


def _differences(first: MethodScores, second: MethodScores, metrics: Mapping[str, Metric]) -> tuple[Difference, ...]:
    found = []
    for name, metric in metrics.items():
        one, two = first.by_clip(name), second.by_clip(name)
        clips = sorted(one.keys() & two.keys())
        if not clips:
            continue
        difference = np.array([_scored(one[c], metric.better) - _scored(two[c], metric.better) for c in clips])
        interval = mean_interval(difference)
        found.append(
            Difference(name, float(difference.mean()), interval, len(clips), _verdict(difference, interval, metric))
        )
    return tuple(found)


def _scored(value: float, better: Better) -> float:
    return abs(value - 1) if better == "one" else abs(value) if better == "zero" else value


def _verdict(difference: np.ndarray, interval: Interval | None, metric: Metric) -> str:
    """Verdict on the first row from (N,) differences; one that is printed as 0 does not count."""
    if interval is None:
        return f"too few clips to tell ({len(difference)}, wanted {MIN_CLIPS})"
    if interval.low <= 0 <= interval.high or abs(difference.mean()) < 0.5 * 10**-metric.digits:
        return "no difference shown"
    larger = interval.low > 0
    if metric.better in ("none", "truth"):
        return "larger" if larger else "smaller"
    return "better" if larger == (metric.better == "higher") else "worse"

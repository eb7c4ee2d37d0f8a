"""Intervals of means, and rows compared in pairs."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from moda.evaluation import statistics
from moda.evaluation.results import ClipScore, MethodScores
from moda.evaluation.statistics import (
    MAX_ALL_PAIRS_METHODS,
    MAX_RESAMPLED,
    MIN_CLIPS,
    Interval,
    compare_rows,
    mean_interval,
)
from moda.metrics import METRICS, NotAvailable


@pytest.mark.parametrize(
    "values", [np.random.default_rng(1).normal(3, 2, 20), np.random.default_rng(2).gamma(1, 2, 15)]
)
def test_ends_are_those_of_scipys_bca(values) -> None:
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=5).confidence_interval
    ours = mean_interval(values)
    assert ours is not None
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_the_same_every_time_and_none_for_few() -> None:
    values = np.arange(10.0)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values[: MIN_CLIPS - 1]) is None
    assert mean_interval(values[:MIN_CLIPS]) is not None
    assert mean_interval(np.full(8, 0.7)) == Interval(0.7, 0.7)


def test_of_very_many_values_the_interval_is_the_normal_one_which_is_the_same() -> None:
    values = np.random.default_rng(0).gamma(2, 1, MAX_RESAMPLED + 1)
    normal, resampled = mean_interval(values), mean_interval(values[:-1])
    assert normal is not None and resampled is not None
    width = resampled.high - resampled.low
    assert normal.low == pytest.approx(resampled.low, abs=0.05 * width)
    assert normal.high == pytest.approx(resampled.high, abs=0.05 * width)


def test_it_covers_the_true_mean_as_often_as_its_level() -> None:
    generator = np.random.default_rng(0)
    found = [mean_interval(generator.normal(1, 1, 20), samples=500) for _ in range(300)]
    share = np.mean([interval.low <= 1 <= interval.high for interval in found if interval is not None])
    assert 0.88 <= share <= 0.98


def row(name: str, control: bool = False, **columns: list) -> MethodScores:
    """A row of clips c0, c1, ... with these values by metric; None is a clip that the row lacks."""
    made = MethodScores(name, control)
    for number in range(max(map(len, columns.values()))):
        values = {metric: cells[number] for metric, cells in columns.items()}
        if None not in values.values():
            made.scores[f"c{number}"] = ClipScore(values, 100)
    return made


def verdicts(first: MethodScores, second: MethodScores, *names: str) -> dict[str, tuple[float, int, str]]:
    (comparison,) = compare_rows([first, second], {name: METRICS[name] for name in names})
    return {d.metric: (d.mean, d.n, d.verdict) for d in comparison.differences}


NOISE = np.random.default_rng(0).normal(0, 0.1, 12)


def test_direction_counts() -> None:
    low = row("low", lmd=list(1 + NOISE), ma=list(1 + NOISE))
    high = row("high", lmd=list(2 - NOISE), ma=list(2 - NOISE))
    found = verdicts(low, high, "lmd", "ma")
    assert found["lmd"][2] == "better" and found["ma"][2] == "worse"
    assert found["lmd"][0] == pytest.approx(-1 + 2 * NOISE.mean())


def test_what_is_printed_as_zero_is_no_difference() -> None:
    found = verdicts(row("a", lmd=list(1 + NOISE)), row("b", lmd=list(1.004 + NOISE)), "lmd")
    assert found["lmd"][2] == "no difference shown"


def test_near_one_and_near_zero_are_compared_by_distance() -> None:
    near = row("near", opening_ratio=list(1.1 + NOISE / 10), lip_lag=[1.0, -1.0] * 6)
    far = row("far", opening_ratio=list(0.5 + NOISE / 10), lip_lag=[4.0, -4.0] * 6)
    found = verdicts(near, far, "opening_ratio", "lip_lag")
    assert found["opening_ratio"][2] == found["lip_lag"][2] == "better"
    assert found["lip_lag"][0] == -3.0  # although both means are 0


def test_pairs_are_of_the_same_clip() -> None:
    """Clips differ far more than methods: only the paired difference shows it."""
    level = np.linspace(0, 100, 12)
    found = verdicts(row("a", lmd=list(level)), row("b", lmd=list(level + 1 + NOISE)), "lmd")
    assert found["lmd"][2] == "better"


def test_only_clips_of_both_count_and_few_claim_nothing() -> None:
    gone = NotAvailable("gone")
    first = row("a", lmd=[1.0, None, 1.0, gone, 1.0, 1.0, 1.0, 1.0])
    second = row("b", lmd=[2.0, 2.0, None, 2.0, 2.0, 2.0, 2.0, 2.5])
    mean, n, verdict = verdicts(first, second, "lmd")["lmd"]
    assert n == 5 and mean == pytest.approx(-1.1) and verdict == "too few clips to tell (5, wanted 6)"
    assert verdicts(row("a", lmd=[gone]), second, "lmd") == {}


def test_every_two_methods_and_each_with_the_still_mouth() -> None:
    rows = [row(name, lmd=[1.0]) for name in "abc"] + [row(n, True, lmd=[1.0]) for n in ("ground truth", "still mouth")]
    pairs = [(c.first, c.second) for c in compare_rows(rows, {"lmd": METRICS["lmd"]})]
    assert pairs[:3] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs[3:] == [("a", "still mouth"), ("b", "still mouth"), ("c", "still mouth")]


def test_many_methods_are_compared_with_the_first_alone() -> None:
    rows = [MethodScores(f"m{number}", control=False) for number in range(MAX_ALL_PAIRS_METHODS + 1)]
    pairs = [(c.first, c.second) for c in compare_rows(rows, {"lmd": METRICS["lmd"]})]
    assert pairs == [(f"m{number}", "m0") for number in range(1, MAX_ALL_PAIRS_METHODS + 1)]


def test_an_interval_that_several_reports_show_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(statistics, "bootstrap", lambda *args, **kw: calls.append(1) or bootstrap(*args, **kw))
    values = np.random.default_rng(77).normal(size=9)
    assert mean_interval(values) == mean_interval(values.copy()) and len(calls) == 1
    assert mean_interval(values + 1) != mean_interval(values) and len(calls) == 2
    assert mean_interval(values, samples=200) != mean_interval(values) and len(calls) == 3

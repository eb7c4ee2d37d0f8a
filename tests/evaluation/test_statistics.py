import numpy as np
import pytest
from scipy.stats import bootstrap

from moda.evaluation.statistics import MIN_CLIPS, Interval, mean_interval


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


def test_it_holds_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    found = [mean_interval(generator.normal(1, 1, 20), samples=500) for _ in range(300)]
    share = np.mean([interval.low <= 1 <= interval.high for interval in found if interval is not None])
    assert 0.88 <= share <= 0.98

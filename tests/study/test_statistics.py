"""Agreement against published values, intervals against slower ones and against what is known of samples."""

import numpy as np
import pytest

from moda.study.statistics import RESAMPLES, Resamples, krippendorff_alpha

KRIPPENDORFF_2011 = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 ."""
"""Four observers, twelve units: "Computing Krippendorff's Alpha-Reliability", section D and E."""


def units() -> list[list[float]]:
    rows = [line.split() for line in KRIPPENDORFF_2011.split("\n")[1:]]
    return [[float(value) for value in column if value != "."] for column in zip(*rows, strict=True)]


def test_alpha_is_that_of_the_published_example() -> None:
    assert krippendorff_alpha(units(), nominal=True) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(units()) == pytest.approx(0.849, abs=5e-4)


def test_alpha_is_1_in_agreement_0_by_chance_and_undefined_without_variation() -> None:
    random = np.random.default_rng(0)
    assert krippendorff_alpha([[1, 1, 1], [5, 5], [3, 3]]) == pytest.approx(1)
    assert krippendorff_alpha([[2, 2], [4, 4]], nominal=True) == pytest.approx(1)
    by_chance = krippendorff_alpha(random.integers(1, 6, (400, 10)).tolist())
    assert by_chance is not None and abs(by_chance) < 0.02
    assert krippendorff_alpha([[3, 3], [3, 3, 3]]) is None
    assert krippendorff_alpha([[3], [4], []]) is None


def test_means_of_resamples_are_those_of_the_answers_drawn() -> None:
    random = np.random.default_rng(1)
    values = random.integers(1, 6, (9, 7)).astype(float)
    values[random.random(values.shape) < 0.3] = np.nan
    draws = Resamples.draw(9, 7)
    means = draws.means(values)
    assert means[0] == pytest.approx(np.nanmean(values)) and len(means) == RESAMPLES + 1
    for row in (1, 2, 500):
        people = np.repeat(np.arange(9), draws.participants[row].astype(int))
        clips = np.repeat(np.arange(7), draws.clips[row].astype(int))
        assert means[row] == pytest.approx(np.nanmean(values[np.ix_(people, clips)]))


def test_intervals_cover_the_mean_of_all_people_and_clips() -> None:
    random = np.random.default_rng(2)
    covered = clips_ignored = 0
    for _ in range(60):
        people, clips = random.normal(0, 0.5, 16)[:, None], random.normal(0, 0.5, 12)
        values = 3 + people + clips + random.normal(0, 0.5, (16, 12))
        estimate = (draws := Resamples.draw(16, 12)).estimate(draws.means(values), 192)
        assert estimate.low is not None and estimate.high is not None
        covered += estimate.low <= 3 <= estimate.high
        low, high = np.percentile((draws.participants @ values.mean(1))[1:] / 16, [2.5, 97.5])
        clips_ignored += low <= 3 <= high
    assert covered >= 52 and clips_ignored < 48, (covered, clips_ignored)


def test_few_participants_get_no_interval_and_few_clips_are_not_drawn() -> None:
    few = Resamples.draw(5, 8)
    estimate = few.estimate(few.means(np.arange(40.0).reshape(5, 8)), 40)
    assert (estimate.mean, estimate.low, estimate.high) == (19.5, None, None) and few.resampled == "nothing"
    assert Resamples.draw(6, 5).resampled == "participants"
    assert (Resamples.draw(6, 5).clips == 1).all()
    assert Resamples.draw(6, 6).resampled == "participants and clips"


def test_a_share_on_which_all_agree_keeps_an_interval() -> None:
    draws = Resamples.draw(8, 3)
    always = draws.estimate(draws.means(np.ones((8, 3))), 24, share_of=8)
    assert always.low == pytest.approx(0.025 ** (1 / 8)) and always.high == 1
    never = draws.estimate(draws.means(np.zeros((8, 3))), 24, share_of=8)
    assert never.low == 0 and never.high == pytest.approx(1 - 0.025 ** (1 / 8))
    assert draws.estimate(draws.means(np.full((8, 3), np.nan)), 0).mean is None

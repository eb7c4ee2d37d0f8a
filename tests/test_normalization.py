from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moda.errors import TrainingError
from moda.normalization import MIN_STD, Moments, Normalizer


def fit(values: np.ndarray, floor: float = MIN_STD) -> Normalizer:
    return Normalizer.from_moments(Moments.of(values), floor=floor)


def test_normalised_values_are_standard_and_come_back() -> None:
    values = torch.randn(500, 4, 3, dtype=torch.float64) * torch.tensor([1.0, 5.0, 50.0]) + 100
    fitted = fit(values.numpy()).double()
    assert fitted.mean.shape == (4, 3)
    inside = fitted.normalize(values)
    assert torch.allclose(inside.mean(0), torch.zeros(4, 3).double(), atol=1e-5)
    assert torch.allclose(inside.std(0, unbiased=False), torch.ones(4, 3).double(), atol=1e-5)
    torch.testing.assert_close(fitted.denormalize(inside), values)


def test_a_channel_that_never_moves_gets_the_floor() -> None:
    fitted = fit(np.array([[1.0, 0.0], [1.0, 2.0]]))
    assert fitted.std.tolist() == pytest.approx([MIN_STD, 1.0])
    assert fit(np.ones((2, 1)), floor=0.5).std.item() == 0.5


def test_statistics_are_buffers_that_travel_with_the_weights() -> None:
    fitted = fit(np.random.default_rng(0).normal(size=(9, 5)))
    assert list(fitted.parameters()) == [] and set(fitted.state_dict()) == {"mean", "std"}
    other = Normalizer(5)
    values = torch.randn(2, 5)
    assert torch.equal(other.normalize(values), values)
    other.load_state_dict(fitted.state_dict())
    assert torch.equal(other.normalize(values), fitted.normalize(values))
    third = Normalizer(5)
    third.assign(fitted)
    assert torch.equal(third.mean, fitted.mean) and torch.equal(third.std, fitted.std)
    with pytest.raises(TrainingError, match=r"shape \(5,\), wanted \(4,\)"):
        Normalizer(4).assign(fitted)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 30), min_size=1, max_size=6), offset=st.floats(-1e4, 1e4))
def test_moments_of_parts_merge_to_those_of_the_whole(cuts: list[int], offset: float) -> None:
    rng = np.random.default_rng(sum(cuts))
    parts = [rng.normal(size=(cut, 2, 3)) * [1, 10, 0.1] + offset for cut in cuts]
    merged, whole = reduce(Moments.merge, (Moments.of(part, scatter=True) for part in parts)), np.concatenate(parts)
    assert merged.count == len(whole)
    if len(whole) == 0:
        return
    np.testing.assert_allclose(merged.mean, whole.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.variance, whole.var(axis=0), rtol=1e-6, atol=1e-10)
    flat = (whole - whole.mean(axis=0)).reshape(len(whole), 6)
    assert merged.scatter is not None
    np.testing.assert_allclose(merged.scatter, flat.T @ flat, rtol=1e-6, atol=1e-6)
    assert Moments.of(whole).scatter is None and merged.merge(Moments.of(whole)).scatter is None


def test_statistics_are_those_of_the_values_and_one_value_has_the_floor() -> None:
    values = np.random.default_rng(0).normal(3, 7, (50, 4))
    fitted = Normalizer.from_moments(Moments.of(values))
    np.testing.assert_allclose(fitted.mean, values.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(fitted.std, values.std(axis=0), rtol=1e-6)
    alone = Normalizer.from_moments(Moments.of(values[:1]), floor=0.5)
    assert alone.std.tolist() == [0.5] * 4
    np.testing.assert_allclose(alone.mean, values[0], rtol=1e-6)

from __future__ import annotations

import weakref
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moda.windows import SlidingWindow, run_windowed


@settings(max_examples=60, deadline=None)
@given(frames=st.integers(1, 5000))
@example(frames=1)
@example(frames=300)
@example(frames=301)
@example(frames=5000)
def test_cutting_and_merging_is_the_identity(frames: int) -> None:
    window = SlidingWindow()
    values = torch.from_numpy(np.random.default_rng(frames).normal(size=(frames, 2)) * 100)
    merged = run_windowed(lambda start, stop: {"x": values[start:stop]}, frames, window=window)["x"]
    torch.testing.assert_close(merged, values, rtol=1e-12, atol=0)


def test_every_length_is_covered_by_windows_as_long_as_in_training() -> None:
    window = SlidingWindow()
    for frames in range(1, 5001):
        spans = window.spans(frames)
        assert spans[0][0] == 0 and spans[-1][1] == frames
        assert all(stop - start == min(frames, 300) for start, stop in spans)
        steps = [b[0] - a[0] for a, b in pairwise(spans)]
        assert all(0 < step <= 150 for step in steps)
        assert len(spans) == max(1, -(-(frames - 300) // 150) + 1)


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(1, 120), length=st.integers(1, 30), data=st.data())
def test_any_window_and_any_axis(frames: int, length: int, data: st.DataObject) -> None:
    window = SlidingWindow(length, data.draw(st.integers(1, length)))
    values = torch.randn(2, 3, frames, generator=torch.Generator().manual_seed(frames))
    calls: list[tuple[int, int]] = []

    def fn(start: int, stop: int) -> dict[str, torch.Tensor]:
        calls.append((start, stop))
        return {"a": values[..., start:stop], "b": -values[..., start:stop]}

    merged = run_windowed(fn, frames, window=window, axis=-1)
    assert calls == window.spans(frames)
    assert merged["a"].dtype == torch.float32
    torch.testing.assert_close(merged["a"], values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(merged["b"], -values, rtol=1e-5, atol=1e-6)


def test_neighbours_blend_without_a_step() -> None:
    """Windows that disagree by 1 meet on a ramp, not on a cliff."""
    window = SlidingWindow(10, 5)
    merged = run_windowed(lambda start, stop: {"x": torch.full((10,), float(start > 0))}, 15, window=window)[
        "x"
    ].numpy()
    assert np.all(merged[:5] == 0) and np.all(merged[10:] == 1)
    assert np.all(np.diff(merged) >= 0) and np.diff(merged).max() < 0.21
    weights = window.weights((0, 10))
    assert np.all(weights > 0) and np.array_equal(weights, weights[::-1]) and weights.argmax() in (4, 5)


def test_a_short_clip_is_one_call_and_gradients_pass() -> None:
    values = torch.ones(4, requires_grad=True)
    merged = run_windowed(lambda start, stop: {"x": values[start:stop] * 2}, 4)["x"]
    merged.sum().backward()
    assert values.grad is not None and torch.allclose(values.grad, torch.full((4,), 2.0))


def test_a_window_is_dropped_once_it_is_added() -> None:
    """Memory is that of the result: of an hour's windows, no more than one may be alive."""
    alive: list[weakref.ref[torch.Tensor]] = []

    def fn(start: int, stop: int) -> dict[str, torch.Tensor]:
        assert sum(piece() is not None for piece in alive) <= 1
        piece = torch.ones(stop - start)
        alive.append(weakref.ref(piece))
        return {"x": piece}

    merged = run_windowed(fn, 100, window=SlidingWindow(10, 5))["x"]
    assert len(alive) == 19
    torch.testing.assert_close(merged, torch.ones(100))
    with pytest.raises(ValueError, match="piece of 9 frames"):
        run_windowed(lambda start, stop: {"x": torch.ones(stop - start - 1)}, 10)


def test_misuse_is_refused() -> None:
    window = SlidingWindow(4, 2)
    for length, stride in ((4, 5), (4, 0)):
        with pytest.raises(ValueError, match="1 <= stride <= length"):
            SlidingWindow(length, stride)
    with pytest.raises(ValueError, match="0 frames"):
        window.spans(0)

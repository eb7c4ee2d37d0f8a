"""A listener's head: calm after some seconds of silence, and awake with the first words."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moda.listening import Liveliness

LISTENING = 0.4


def kept(gate: np.ndarray, cuts: list[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How much head and torso keep, (T,) each, if the frames come in parts."""
    liveliness = Liveliness(LISTENING)
    bounds = [0, *(cuts or []), len(gate)]
    parts = [gate[a:b] for a, b in pairwise(bounds)]
    ones = [(np.ones((len(part), 7), np.float32), np.ones((len(part), 18, 3), np.float32), part) for part in parts]
    heads, torsos = zip(*(liveliness(*each) for each in ones), strict=True)
    head, torso = np.concatenate(heads), np.concatenate(torsos)
    assert head.dtype == torso.dtype == np.float32
    return head[:, 6], torso[:, 17, 2]


def test_long_silences_calm_and_speech_wakes() -> None:
    gate = np.ones(500, np.float32)
    gate[100:112] = 0  # a pause of about a second: the lips close late
    gate[200:400] = 0
    head, torso = kept(gate)
    assert head[0] == 1 and head[:200].min() > 0.8
    assert head[225] > 0.6 and head[200 + 100] < 0.45 and head[399] == pytest.approx(LISTENING, abs=1e-3)
    assert torso[399] == pytest.approx(0.64, abs=1e-3)
    assert head[425] > 0.9, "within a second"
    assert np.abs(np.diff(head)).max() < 0.06, "no jump"
    assert kept(np.zeros(9, np.float32))[0] == pytest.approx(LISTENING), "who has not spoken yet"


@given(st.lists(st.integers(0, 60), max_size=5))
def test_parts_of_any_length_give_the_same(cuts: list[int]) -> None:
    gate = np.random.default_rng(0).random(60).astype(np.float32)
    for whole, parts in zip(kept(gate), kept(gate, sorted(cuts)), strict=True):
        assert np.array_equal(whole, parts)

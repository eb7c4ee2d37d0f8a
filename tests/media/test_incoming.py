"""Sound in pieces is what the whole sound is, bit by bit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from moda.errors import MediaError
from moda.media.in_memory import audio_from_array
from moda.media.incoming import IncomingAudio


def joined(sound: np.ndarray, rate: int, cuts: list[int]) -> np.ndarray:
    incoming = IncomingAudio(rate)
    edges = [0, *sorted(cut % (len(sound) + 1) for cut in cuts), len(sound)]
    pieces = [incoming.push(sound[a:b]) for a, b in pairwise(edges)]
    return np.concatenate([*pieces, incoming.finish()])


@settings(max_examples=20, deadline=None, phases=[Phase.generate])
@given(
    st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000, 11_111]),
    st.sampled_from(["float32", "int16", "stereo", "three"]),
    st.lists(st.integers(0, 10**6), max_size=12),
    st.integers(5_000, 20_000),
)
def test_pieces_of_any_length_rate_and_type_are_the_whole(rate: int, kind: str, cuts: list[int], samples: int) -> None:
    random = np.random.default_rng(samples)
    sound = random.uniform(-0.9, 0.9, (samples, 3)).astype(np.float32)
    whole = {
        "float32": sound[:, 0], "int16": (sound[:, 0] * 32767).astype(np.int16), "stereo": sound[:, :2], "three": sound
    }[kind]  # fmt: skip
    if kind != "float32" and kind != "int16":
        cuts = [cut - cut % 16 for cut in cuts if cut % (samples + 1) > 16 and samples - cut % (samples + 1) > 16][:1]
    np.testing.assert_array_equal(joined(whole, rate, cuts), audio_from_array(whole, rate))


def test_the_rate_and_the_channels_may_change() -> None:
    incoming = IncomingAudio(48_000)
    found = [
        incoming.push(np.zeros(48_000, np.float32)),
        incoming.push((8_000, np.zeros((8_000, 2), np.int16))),
        incoming.push((16_000, np.zeros(16_000))),
        incoming.push([]),
        incoming.finish(),
    ]
    assert sum(map(len, found)) == 48_000
    assert incoming.finish().size == 0


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (np.full(100, np.nan, np.float32), "piece 2 of the sound are not finite"),
        (np.full(100, 20_000.0), "wanted floats of -1 .. 1"),
        (np.zeros((50, 50)), "shape"),
        (np.zeros(100, bool), "bool"),
        ((0, np.zeros(100)), "sample_rate"),
        ("sound", "wanted"),
    ],
)
def test_a_piece_that_is_no_sound_is_named_and_the_next_one_goes_on(piece: Any, words: str) -> None:
    incoming = IncomingAudio(16_000)
    first = incoming.push(np.full(700, 0.25, np.float32))
    with pytest.raises(MediaError, match=words):
        incoming.push(piece)
    again = incoming.push(np.full(800, 0.25, np.float32))
    assert np.concatenate((first, again)).tolist() == [0.25] * 1500

"""Held out by time: what is trained on comes before what is measured."""

from pathlib import Path

import numpy as np
import pytest

from moda.data.clip import Clip
from moda.data.parts import FEWEST, GAP, Part, hold_out_end
from moda.errors import DataError


def clip(name: str, frames: int) -> Clip:
    return Clip(Path(name), {"id": name, "identity": "me", "frames": frames, "has_audio": False})


def test_one_shot_is_cut_in_time_with_a_second_between() -> None:
    train, end = hold_out_end([clip("a", 1000)], 0.2)
    assert [(part.clip.id, part.targets) for part in train] == [("a", range(800 - GAP))]
    assert [(part.clip.id, part.targets) for part in end] == [("a", range(800, 1000))]
    assert train[0].references == end[0].references == train[0].targets, "references are from what is trained on"


def test_of_several_shots_the_end_is_that_of_the_video() -> None:
    shots = [clip("a", 300), clip("b", 500), clip("c", 150), clip("d", 50)]
    train, end = hold_out_end(shots, 0.3)
    assert [(part.clip.id, part.targets) for part in train] == [("a", range(300)), ("b", range(400 - GAP))]
    assert [(part.clip.id, part.targets) for part in end] == [
        ("b", range(400, 500)),
        ("c", range(150)),
        ("d", range(50)),
    ]
    assert [part.references for part in end] == [range(400 - GAP), range(150), range(50)]


@pytest.mark.parametrize("share", [0.15, 0.18, 0.5])
def test_nothing_held_out_is_trained_on_and_shares_hold(share: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        lengths = [600, *random.integers(60, 900, size=int(random.integers(5)))]
        shots = [clip(str(number), int(length)) for number, length in enumerate(lengths)]
        total = sum(shot.frames for shot in shots)
        starts = dict(zip([shot.id for shot in shots], np.cumsum([0, *(s.frames for s in shots)]), strict=False))
        train, end = hold_out_end(shots, share)

        def times(parts: list[Part], starts: dict[str, int] = starts) -> np.ndarray:
            return np.concatenate([starts[part.clip.id] + np.array(part.targets) for part in parts])

        assert times(train).max() + GAP < times(end).min()
        assert abs(len(times(end)) - share * total) <= FEWEST
        assert len(times(train)) >= (1 - share) * total - GAP - 2 * FEWEST


def test_too_little_is_refused() -> None:
    with pytest.raises(DataError, match=r"3 s of video are too little to hold out the last 20% of it \(0.6 s\)"):
        hold_out_end([clip("a", 75)], 0.2)

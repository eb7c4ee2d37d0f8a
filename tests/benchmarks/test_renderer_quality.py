"""How the renderer's quality table adds up frames, clips and people."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.contact_sheet import choose
from benchmarks.renderer_quality import Row, main_table, over_people, ratio, rows, score
from benchmarks.self_driven import ClipScores, _bounding_box

TO_WARP = ratio(score("l1_mouth/network"), score("l1_mouth/warp"))


def clip(identity: str, *values: tuple[float, float], turn: float = 0.0) -> ClipScores:
    """A clip with frames of (network's L1, warp's L1) in the mouth box."""
    frames = {n: {"l1_mouth/network": network, "l1_mouth/warp": warp} for n, (network, warp) in enumerate(values)}
    return ClipScores(f"{identity} {turn}", identity, frames, {"jitter/truth": 2.0}, {}, turn)


def test_people_count_alike_however_many_clips_they_have() -> None:
    scores = [clip("a", (2, 4)), clip("a", (4, 4)), clip("b", (9, 10))]
    assert over_people(scores, score("l1_mouth/network")) == pytest.approx([3.0, 9.0])
    assert over_people(scores, TO_WARP) == pytest.approx([0.75, 0.9])


def test_a_person_without_a_value_is_left_out() -> None:
    assert len(over_people([clip("a", (2, 4))], score("l1_mouth/still"))) == 0
    table, _, left_out = main_table([clip("a", (2, 4))]).partition("Without a value: ")
    assert "L1, mouth box: still" in left_out.rstrip(".").split("; ")
    assert "L1, mouth box: network" in table and "still" not in table


def test_aims() -> None:
    row = Row("x", score("l1_mouth/network"), most=0.85)
    assert row.verdict(0.85).endswith("met")
    assert row.verdict(0.86).endswith("missed")
    assert Row("x", score("y"), least=0.7).verdict(0.69).endswith("missed")
    assert len({row.label for row in rows()}) == len(rows())
    assert "| L1, mouth box: network / warp | 0.800 |  | 1 | at most 0.85: met |" in main_table([clip("a", (8, 10))])


def test_the_sheet_shows_a_person_once_by_the_clip_with_the_largest_turn() -> None:
    scores = [clip("a", (1, 1), turn=5), clip("b", (1, 1), turn=9), clip("a", (1, 1), turn=20), clip("c", (1, 1))]
    assert [(found.identity, found.turn) for found in choose(scores, 2)] == [("a", 20), ("b", 9)]


def test_bounding_box() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2, 5] = mask[4, 1] = True
    box = _bounding_box(mask)
    assert box.sum() == 15 and box[2:5, 1:6].all()
    assert not _bounding_box(np.zeros((8, 8), bool)).any()

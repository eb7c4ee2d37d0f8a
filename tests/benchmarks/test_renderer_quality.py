"""How the renderer's proof adds up frames, clips and people."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from renderer_quality import Row, main_table, over_people, ratio, rows, score, yaw_table
from self_driven import ClipScores, Moment, _bounding_box


def clip(identity: str, *values: tuple[float, float, float], turned: tuple[float, float, float] | None = None):
    """A clip with frames of (yaw, network's L1, warp's L1) in the mouth box."""

    def moment(yaw: float, network: float, warp: float) -> Moment:
        return Moment(0, yaw, {"l1_mouth/network": network, "l1_mouth/warp": warp})

    far = [] if turned is None else [moment(*turned)]
    return ClipScores("clip", identity, [moment(*value) for value in values], far, {"jitter/truth": 2.0})


def test_people_count_alike_however_many_clips_they_have():
    scores = [clip("a", (0, 2, 4)), clip("a", (0, 4, 4)), clip("b", (0, 9, 10))]
    assert over_people(scores, score("l1_mouth/network")) == pytest.approx([3.0, 9.0])
    assert over_people(scores, ratio("l1_mouth/network", "l1_mouth/warp")) == pytest.approx([0.75, 0.9])


def test_a_person_without_a_value_is_left_out():
    assert len(over_people([clip("a", (0, 2, 4))], score("l1_background/warp"))) == 0


def test_bars():
    row = Row("x", score("l1_mouth/network"), most=0.85)
    assert row.verdict(0.85).endswith("met")
    assert row.verdict(0.86).endswith("missed")
    assert Row("x", score("y"), least=0.7).verdict(0.69).endswith("missed")
    assert len({row.label for row in rows()}) == len(rows())


def test_main_table_leaves_the_further_turned_frames_out():
    scores = [clip("a", (0, 8, 10), turned=(25, 100, 100))]
    assert "| L1, mouth box: network / warp | 0.800 |  | 1 | at most 0.85: met |" in main_table(scores)


def test_turns_have_groups_of_their_own():
    lines = yaw_table([clip("a", (3, 8, 10), (12, 6, 6)), clip("b", (9.9, 2, 4), turned=(25, 5, 5))]).splitlines()
    groups = {line.split("|")[1].strip(): line.split("|")[2:7] for line in lines[2:]}
    assert [cell.strip() for cell in groups["0 to 10"]] == ["2", "2", "5.00", "7.00", "0.650"]
    assert [cell.strip() for cell in groups["20 to 35"]][:3] == ["1", "1", "5.00"]
    assert groups["over 35"][0].strip() == "0"


def test_bounding_box():
    mask = np.zeros((8, 8), bool)
    mask[2, 5] = mask[4, 1] = True
    box = _bounding_box(mask)
    assert box.sum() == 15 and box[2:5, 1:6].all()
    assert not _bounding_box(np.zeros((8, 8), bool)).any()

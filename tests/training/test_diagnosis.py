"""Histories made by hand, and what is said of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from moda.errors import DataError
from moda.training.diagnosis import (
    Adversary,
    History,
    above_reference,
    clipped_all_the_time,
    diagnose,
    diagnose_data,
    discriminator_won_or_lost,
    losses,
    overfitting,
)
from moda.training.reference import Curves, Reference

GAN = Adversary("d/gan", "g/gan", 0.5)
USUAL = Curves([10, 20, 40], {"g/l1": [4.0, 2.0, 1.0], "g/gan": [9.0, 9.0, 9.0], "g/clipped": [0.0, 0.0, 0.0]})


def run(*points: tuple[int, dict[str, float]], validated: list[float] = []) -> History:  # noqa: B006
    return History(list(points), [((i + 1) * 10, {"score": score}) for i, score in enumerate(validated)])


def test_a_loss_far_above_the_reference_at_its_step() -> None:
    line = above_reference([(25, {"g/l1": 3.0, "g/gan": 0.1}), (30, {"g/l1": 3.0})], USUAL, GAN)
    assert line and "'g' is 3, 1.8 times the reference's at this step (1.625)" in line and "optimizer.lr" in line
    assert above_reference([(30, {"g/l1": 2.0, "g/gan": 99.0})], USUAL, GAN) is None, "the game's terms do not count"
    assert above_reference([(5, {"g/l1": 99.0})], USUAL, GAN) is None, "the reference begins later"
    assert above_reference([(400, {"g/l1": 1.6})], USUAL, GAN) is not None, "beyond its end its last value counts"
    assert above_reference([], USUAL, GAN) is None


def test_losses_leave_the_game_and_what_is_no_loss_out() -> None:
    values = {"g/l1": 1.0, "g/style": 2.0, "g/gan": 4.0, "g/gradient": 8.0, "g/clipped": 1.0, "d/gan": 16.0}
    assert losses(values, GAN) == {"g": 3.0}
    assert losses(values, None) == {"g": 7.0, "d": 16.0}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.01, 0.02, 0.03), "has won"),
        ((0.5, 0.5, 0.5), "cannot tell true from made"),
        ((0.9, 0.7, 0.5), None),  # it learns
        ((0.01, 0.4, 0.01), None),
        ((0.3, 0.3, 0.3), None),
        ((0.01, 0.01), None),  # too few to judge
    ],
)
def test_discriminator_won_or_lost(values: tuple[float, ...], said: str | None) -> None:
    line = discriminator_won_or_lost([(i, {"d/gan": value}) for i, value in enumerate(values)], GAN)
    assert (line is None) == (said is None) and (said is None or said in str(line))


def test_gradients_clipped_nearly_all_the_time() -> None:
    def window(share: float) -> list[tuple[int, dict[str, float]]]:
        return [(i, {"g/clipped": share, "g/gradient": 12.0}) for i in range(3)]

    line = clipped_all_the_time(window(1.0), 1.0, None)
    assert line and "'g' is clipped at 100% of the steps (mean norm 12, optimizer.clip 1)" in line
    assert clipped_all_the_time(window(0.9), 1.0, None) is None
    assert clipped_all_the_time(window(1.0), 0.0, None) is None, "nothing is clipped"
    assert clipped_all_the_time(window(1.0), 1.0, USUAL) is not None
    usual = Curves([1], {"g/clipped": [1.0]})
    assert clipped_all_the_time(window(1.0), 1.0, usual) is None, "the reference's are as well"


def test_validation_rises_while_training_falls() -> None:
    falling = [(10 * i, {"g/l1": 1 / i}) for i in range(1, 6)]
    history = run(*falling, validated=[2.0, 1.0, 1.2, 1.3, 1.4])
    history.looked = 40
    line = overfitting(history, None)
    assert line and "score 1.4, at its best 1 at step 20" in line
    for scores in ([2.0, 1.0, 1.2, 1.01, 1.4], [2.0, 1.5, 1.0, 1.2, 1.3], [1.0, 1.2]):
        assert overfitting(run(*falling, validated=scores), None) is None
    rising = [(10 * i, {"g/l1": float(i)}) for i in range(1, 6)]
    assert overfitting(run(*rising, validated=[2.0, 1.0, 1.2, 1.3, 1.4]), None) is None, "it does not learn by heart"


def test_a_diagnosis_is_of_what_came_since_the_last() -> None:
    history = run(*((i, {"d/gan": 0.01, "g/l1": 1.0}) for i in (1, 2, 3)))
    assert set(diagnose(history, None, GAN, 0.0)) == {"discriminator"}
    assert diagnose(history, None, GAN, 0.0) == {}, "nothing is new"
    history.trained += [(i, {"d/gan": 0.3, "g/l1": 1.0}) for i in (4, 5, 6)]
    assert diagnose(history, None, GAN, 0.0) == {}


GOOD = {
    "face_px": 200.0,
    "lip_motion": 3.0,
    "offset_settled": 0.9,
    "audible": 1.0,
    "loudness_dbfs": -20.0,
    "pauses": 0.2,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"offset_settled": 0.2}, "in step for sure in 20% of the clips only (the reference's: 0.9)"),
        ({"face_px": 90.0}, "faces are small, 90 px (the reference's: 200 px)"),
        ({"lip_motion": 1.5}, "mouths hardly move, 1.50 px"),
        ({"loudness_dbfs": -45.0}, "the audio is quiet, -45 dBFS"),
        ({"pauses": 0.7}, "70% of the audio is silence"),
        ({"audible": 0.1}, "90% of the clips have no audio"),
    ],
)
def test_data_unlike_the_reference(change: dict[str, float], said: str) -> None:
    (line,) = diagnose_data(GOOD | change, GOOD)
    assert said in line
    assert diagnose_data(GOOD, GOOD) == diagnose_data({}, GOOD) == diagnose_data(GOOD, None) == []


def test_without_a_reference_only_what_is_bad_anyway() -> None:
    assert diagnose_data({"face_px": 40.0, "lip_motion": 0.1, "pauses": 0.9}, None) == []
    (line,) = diagnose_data({"offset_settled": 0.4}, None)
    assert "40% of the clips only: lips" in line


def test_reference_files(tmp_path: Path) -> None:
    path = tmp_path / "x.reference.json"
    made = Reference("by hand", {"network": {"d": 1}, "loss": {}}, {"clips": 2.0}, USUAL, Curves([], {}), 0.5)
    made.write(path)
    assert Reference.load(path) == made
    assert USUAL.at(15)["g/l1"] == 3.0 and math.isclose(USUAL.at(100)["g/l1"], 1.0)
    path.write_text(path.read_text().replace("40", "4"))
    with pytest.raises(DataError, match=r"x\.reference\.json is no reference of a training .*--write-reference"):
        Reference.load(path)

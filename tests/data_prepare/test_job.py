import pytest

from data_prepare.job import Step, in_order
from data_prepare.steps import STEPS, VERSIONS


def step(name, needs, makes):
    return Step(name, tuple(needs), tuple(makes), 1, lambda job: None)


def test_steps_run_after_what_they_need():
    last, first, middle = step("c", "y", "z"), step("a", "", "x"), step("b", "x", "y")
    assert [each.name for each in in_order([last, first, middle])] == ["a", "b", "c"]


def test_what_nobody_makes_or_two_make_is_named():
    with pytest.raises(ValueError, match=r"'b': \['nothing'\]"):
        in_order([step("a", "", "x"), Step("b", ("x", "nothing"), ("y",), 1, lambda job: None)])
    with pytest.raises(ValueError, match=r"more than one step: \['x'\]"):
        in_order([step("a", "", "x"), step("b", "", "x")])


def test_steps_that_wait_for_one_another_are_found():
    with pytest.raises(ValueError, match="never run"):
        in_order([step("a", "y", "x"), step("b", "x", "y")])


def test_the_real_steps_begin_with_probe_and_end_with_pack():
    assert STEPS[0].name == "probe" and STEPS[-1].name == "pack"
    assert {each.name: each.version for each in STEPS} == VERSIONS

import pytest

from data_prepare.job import Offset, Step, in_order, offset_record
from data_prepare.options import Options
from data_prepare.step_results import STORED
from data_prepare.steps import STEPS


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


def test_the_real_steps_begin_with_probe_end_with_pack_and_store_what_they_make():
    assert STEPS[0].name == "probe" and STEPS[-1].name == "pack"
    assert len({each.name for each in STEPS}) == 9
    made = {name for each in STEPS for name in each.makes}
    assert made - set(STORED) == {"padded_audio"} and set(STORED) <= made


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"size": 64}, {"normalise"}),
        ({"allow_silent": True}, {"probe", "audio"}),
        ({"correct_offset": False}, {"offset"}),
        ({"settled_only": True}, {"offset"}),
        ({"limits": {"min_tracked": 0.5}}, {"normalise"}),
        ({"limits": {"min_loudness": -50}}, {"audio"}),
        ({"limits": {"max_offset": 5}}, {"offset"}),
        ({"limits": {"min_face": 50}}, {"quality"}),
        ({"limits": {"min_sharpness": 5}}, {"quality"}),
        ({"limits": {"max_yaw": 50}}, {"quality"}),
        ({"limits": {"max_outside": 0.1}}, {"quality"}),
        ({"limits": {"min_lip_range": 1.0}}, {"quality"}),
        ({"limits": {"min_lip_motion": 1.0}}, {"quality"}),
    ],
)
def test_every_setting_is_in_the_stamp_of_the_step_that_reads_it(change, names):
    before, after = Options(), Options.model_validate(change)
    assert {each.name for each in STEPS if each.stamp(before, None) != each.stamp(after, None)} == names


def test_another_network_of_the_same_name_is_another_stamp(tmp_path):
    from data_prepare.steps import offset

    stamps = []
    for content in (b"one", b"two"):
        (tmp_path / "sync.pt").write_bytes(content)
        offset._digest.cache_clear()
        stamps.append(offset.STEP.stamp(Options(sync=tmp_path / "sync.pt"), None))
    assert stamps[0] != stamps[1]


def test_an_offset_as_it_is_written():
    wanted = {"frames": 2.5, "confidence": 0.3, "settled": True, "corrected": False}
    assert offset_record(Offset(2.5, 0.3, True, False)) == wanted
    assert offset_record(None) is None

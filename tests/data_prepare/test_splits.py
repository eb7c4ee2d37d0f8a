import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prepare.splits import SplitRule, assign
from moda.errors import ConfigError

PEOPLE = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), st.integers(1, 100_000), min_size=1, max_size=30)


@given(PEOPLE, st.integers(0, 50))
def test_everyone_is_in_one_split_and_small_stores_fill_train_then_val_then_test(frames, seed):
    where = assign(frames, SplitRule(seed=seed))
    assert set(where) == set(frames)
    wanted = {"train", "val", "test"} if len(frames) >= 3 else {"train", "val"} if len(frames) == 2 else {"train"}
    assert set(where.values()) == wanted


def test_shares_of_frames_come_near_the_wanted_ones_also_with_uneven_people():
    frames = {"big": 40_000, **{f"p{i}": 500 + 37 * i for i in range(60)}}
    for seed in range(10):
        where = assign(frames, SplitRule(seed=seed))
        total = sum(frames.values())
        shares = {
            name: sum(n for who, n in frames.items() if where[who] == name) / total for name in ("train", "val", "test")
        }
        assert where["big"] == "train"
        assert (
            abs(shares["train"] - 0.8) < 0.03 and abs(shares["val"] - 0.1) < 0.03 and abs(shares["test"] - 0.1) < 0.03
        )


def test_the_seed_decides_and_nothing_else():
    frames = {f"p{i}": 100 for i in range(20)}
    assert assign(frames, SplitRule(seed=1)) == assign(dict(reversed(frames.items())), SplitRule(seed=1))
    assert assign(frames, SplitRule(seed=1)) != assign(frames, SplitRule(seed=2))


@given(PEOPLE, PEOPLE, st.integers(0, 9))
def test_nobody_moves_when_the_store_grows(first, more, seed):
    rule = SplitRule(seed=seed)
    before = assign(first, rule)
    after = assign({**first, **{who: n for who, n in more.items() if who not in first}}, rule, before)
    assert all(after[who] == name for who, name in before.items())


def test_a_share_of_nothing_gets_nobody():
    where = assign({f"p{i}": 10 for i in range(5)}, SplitRule(0.0, 0.0, 1.0))
    assert set(where.values()) == {"test"}
    assert assign({}, SplitRule()) == {}


@pytest.mark.parametrize("text", ["0.8,0.2", "0.8,0.3,0.1", "a,b,c", "1.2,-0.1,-0.1", "", "nan,0.5,0.5"])
def test_shares_that_make_no_sense_are_refused(text):
    with pytest.raises(ConfigError, match="wanted three shares"):
        SplitRule.parse(text)


def test_shares_are_read():
    assert SplitRule.parse("0.7,0.2,0.1", seed=3) == SplitRule(0.7, 0.2, 0.1, 3)

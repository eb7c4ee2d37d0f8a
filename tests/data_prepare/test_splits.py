from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prepare.split_lists import PublishedLists
from data_prepare.splits import ClipFacts, SplitRule, assign, assign_counts, make_splits
from moda.errors import ConfigError, DataError

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


def store_of(people: dict[str, int]) -> list[ClipFacts]:
    return [ClipFacts(f"{who}_{i:03d}", who, 100) for who, count in people.items() for i in range(count)]


def hdtf_like() -> dict[str, int]:
    """About as HDTF: 300 people, most with one clip, some with up to ten."""
    return {f"p{i}": 10 if i % 97 == 0 else 4 if i % 31 == 0 else 2 if i % 7 == 0 else 1 for i in range(300)}


@pytest.mark.parametrize("text", ["132,0,32", "200,20,100", "1,1,1", "0,0,2", "2,0,0"])
@pytest.mark.parametrize("seed", range(5))
def test_wanted_numbers_of_clips_are_reached_with_whole_people(text, seed):
    clips = store_of(hdtf_like())
    rule = SplitRule.parse(text, seed)
    splits = make_splits(clips, rule)
    assert rule.counts and [len(ids) for ids in splits.lists.values()] == list(map(int, text.split(",")))
    identity = {clip.id: clip.identity for clip in clips}
    people = [{identity[clip_id] for clip_id in ids} for ids in splits.lists.values()]
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
    for name, ids in splits.lists.items():
        assert all(splits.identities[identity[clip_id]] == name for clip_id in ids)
        assert splits.people[name] == len({identity[clip_id] for clip_id in ids})
    left = len(clips) - sum(map(int, text.split(",")))
    assert splits.notes == (f"clips beyond the wanted numbers, in no list: {left}",)


def test_the_seed_decides_who_is_counted_in():
    clips = store_of(hdtf_like())
    first, again, other = (make_splits(clips, SplitRule.parse("132,0,32", seed)).lists for seed in (1, 1, 2))
    assert first == again and set(first["test"]) != set(other["test"])
    assert set(map(str, first.values())) == {
        str([clip.id for clip in clips if clip.id in set(ids)]) for ids in first.values()
    }, "in the order of the store"


def test_numbers_that_whole_people_cannot_reach_are_come_near_and_that_is_said():
    splits = make_splits(store_of({"a": 5, "b": 5, "c": 5}), SplitRule.parse("9,0,6"))
    assert sorted(len(ids) for ids in splits.lists.values()) == [0, 5, 10]
    assert splits.notes == ("wanted 9, 0, 6 clips in train, val, test; with whole people it is 10, 0, 5",)


def test_fewer_clips_than_wanted_are_dealt_in_proportion():
    splits = make_splits(store_of({f"p{i}": 1 for i in range(41)}), SplitRule.parse("132,0,32"))
    assert [len(ids) for ids in splits.lists.values()] == [33, 0, 8]
    assert "33, 0, 8" in splits.notes[0]
    assert make_splits([], SplitRule.parse("132,0,32")).lists == {"train": [], "val": [], "test": []}


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 9), max_size=9), st.data())
def test_no_other_choice_of_one_list_comes_nearer(people, data):
    wanted = data.draw(st.integers(2, 30))
    where = assign_counts(people, SplitRule(0, 0, wanted, 0, counts=True))
    sums = {0}
    for count in people.values():
        sums |= {total + count for total in sums}
    aim = min(wanted, sum(people.values()))
    assert abs(sum(people[who] for who in where) - aim) == min(abs(total - aim) for total in sums)


def test_people_stay_in_their_list_when_a_counted_store_grows():
    rule = SplitRule.parse("20,5,10")
    first = make_splits(store_of({f"p{i}": 1 + i % 3 for i in range(12)}), rule)
    more = make_splits(store_of({f"p{i}": 1 + i % 3 for i in range(60)}), rule, first.identities)
    assert first.identities.items() <= more.identities.items()
    assert [len(ids) for ids in more.lists.values()] == [20, 5, 10]


def test_shares_deal_clips_as_before():
    clips = [ClipFacts(f"c{i}", f"p{i % 9}", 50 + i) for i in range(30)]
    frames = {f"p{i}": sum(clip.frames for clip in clips if clip.identity == f"p{i}") for i in range(9)}
    splits = make_splits(clips, SplitRule())
    assert splits.identities == assign(frames, SplitRule()) and splits.notes == ()
    assert sorted(clip_id for ids in splits.lists.values() for clip_id in ids) == sorted(clip.id for clip in clips)


def test_whole_numbers_that_sum_to_one_are_shares():
    assert SplitRule.parse("1,0,0") == SplitRule(1.0, 0.0, 0.0) and not SplitRule.parse("0.8, 0.1, 0.1").counts
    assert SplitRule.parse("132, 0, 32").record == {"counts": [132.0, 0.0, 32.0], "seed": 0}
    assert SplitRule().record == {"shares": [0.8, 0.1, 0.1], "seed": 0}
    for text in ("132,32", "-1,0,32", "132.5,0,32", "132,0,32,1"):
        with pytest.raises(ConfigError, match="numbers of clips"):
            SplitRule.parse(text)


def lists_in(folder: Path, **lists: str) -> Path:
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


CLIPS = [
    *(
        ClipFacts("RD_Radio1_000", "RD_Radio1", 9),
        ClipFacts("WDA_A0_000", "WDA_A", 9),
        ClipFacts("WDA_A1_000", "WDA_A", 9),
    ),
    *(ClipFacts("long_000", "long", 9), ClipFacts("long_001", "long", 9), ClipFacts("may__take1", "may", 9)),
]


def test_given_lists_are_taken_as_they_are(tmp_path):
    lists_in(
        tmp_path,
        train="\ufeff# the paper's\nWDA_A1_000.mp4\n\nWDA_A0_000   # twice\nWDA_A0_000\r\nclips/WRA_Gone_000.mp4\n",
        test="train/RD_Radio1_000.mp4\nlong.mov\nmay/take1\n",
    )
    splits = make_splits(CLIPS, PublishedLists.read(tmp_path))
    assert splits.lists == {
        "train": ["WDA_A0_000", "WDA_A1_000"],
        "val": [],
        "test": ["RD_Radio1_000", "long_000", "long_001", "may__take1"],
    }
    assert splits.missing == {"train": ("clips/WRA_Gone_000",), "val": (), "test": ()}
    assert splits.notes == ("clips of train.txt that are not in the store: 1 (clips/WRA_Gone_000)",)
    assert splits.people == {"train": 1, "val": 0, "test": 3}


def test_a_person_in_two_given_lists_is_refused_unless_allowed(tmp_path):
    lists_in(tmp_path, train="WDA_A0_000\n", test="WDA_A1_000\n")
    with pytest.raises(DataError, match=r"people in two lists: 1 \(WDA_A\)"):
        make_splits(CLIPS, PublishedLists.read(tmp_path))
    splits = make_splits(CLIPS, PublishedLists.read(tmp_path, allow_shared=True))
    assert splits.lists["train"] == ["WDA_A0_000"] and splits.lists["test"] == ["WDA_A1_000"]
    assert splits.notes == ("people in two lists: 1 (WDA_A)", "clips of the store in none of the lists: 4")


def test_given_lists_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(DataError, match="no split lists in"):
        PublishedLists.read(tmp_path)
    with pytest.raises(DataError, match="no split lists in"):
        PublishedLists.read(lists_in(tmp_path, train="# nothing\n"))
    with pytest.raises(DataError, match=r"a is in train.txt and in test.txt"):
        PublishedLists.read(lists_in(tmp_path, train="a\n", test="a.mp4\n"))
    with pytest.raises(DataError, match=r"long_000 is in train.txt and in val.txt"):
        make_splits(CLIPS, PublishedLists.read(lists_in(tmp_path, train="long\n", val="long_000\n", test="")))
    (tmp_path / "test.txt").write_bytes(b"\xff\xfea")
    with pytest.raises(DataError, match=r"cannot read .*test\.txt: not text in UTF-16"):
        PublishedLists.read(tmp_path)


def test_by_time_everyone_is_in_every_list_and_the_end_is_the_test():
    clips = [ClipFacts(f"{who}_{n:03d}", who, 750) for who in ("May", "Obama1") for n in range(10)]
    splits = make_splits(clips[::-1], SplitRule.parse("0.8,0,0.2", by_time=True))
    assert splits.lists["val"] == []
    assert splits.lists["train"] == [f"{who}_{n:03d}" for who in ("May", "Obama1") for n in range(8)]
    assert splits.lists["test"] == [f"{who}_{n:03d}" for who in ("May", "Obama1") for n in (8, 9)]
    assert not [note for note in splits.notes if "max_seconds" in note]
    assert splits.people == {"train": 2, "val": 0, "test": 2}
    assert SplitRule(by_time=True).record.keys() & SplitRule().record.keys() == set()


def test_by_time_few_clips_give_train_first_then_the_end():
    clips = [ClipFacts("one", "A", 900), ClipFacts("two_000", "B", 2000), ClipFacts("two_001", "B", 30)]
    splits = make_splits(clips, SplitRule.parse("0.8,0.1,0.1", by_time=True))
    assert splits.lists == {"train": ["one", "two_000"], "val": [], "test": ["two_001"]}
    assert any("A (1 clip), B (2 clips); lower options.max_seconds" in note for note in splits.notes)


def test_numbers_of_clips_by_time_are_refused():
    with pytest.raises(ConfigError, match=r"sum to 1, as 0\.8,0\.1,0\.1$"):
        SplitRule.parse("132,0,32", by_time=True)

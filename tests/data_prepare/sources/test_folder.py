import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prepare.sources.folder import (
    clip_ids,
    find_sources,
    identity_of,
    listed_sources,
    read_identities,
    read_include,
    source_stamp,
)
from data_prepare.sources.hdtf import HdtfCut, HdtfPlan
from data_prepare.sources.videos import find_videos
from moda.errors import DataError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_videos_are_found_by_ending_in_all_folders(tmp_path):
    touch(
        tmp_path,
        "a.mp4",
        "b/c.MKV",
        "b/d/e.avi",
        "notes.txt",
        "sound.wav",
        ".hidden.mp4",
        ".git/f.mp4",
        "out/clips/g/v.mp4",
    )
    assert find_videos(tmp_path, skip=tmp_path / "out") == ["a.mp4", "b/c.MKV", "b/d/e.avi"]


def test_a_store_inside_the_folder_of_videos_is_not_read_again(tmp_path):
    touch(tmp_path, "a.mp4", "store/clips/a/video.mp4")
    assert [source.name for source in find_sources(tmp_path, tmp_path / "store")] == ["a.mp4"]


def test_missing_folder_file_or_empty_folder(tmp_path):
    with pytest.raises(DataError, match="no such folder of videos"):
        find_sources(tmp_path / "nowhere")
    with pytest.raises(DataError, match="wanted a folder"):
        find_sources(touch(tmp_path, "x/a.mp4") / "x" / "a.mp4")
    with pytest.raises(DataError, match="no videos in"):
        find_sources(touch(tmp_path, "y/readme.txt") / "y")


def test_plain_names_stay_readable():
    assert clip_ids(["RD_Radio1_000.mp4", "may/take 1.mov"])["RD_Radio1_000.mp4"] == "RD_Radio1_000"
    assert clip_ids(["may/take1.mov"]) == {"may/take1.mov": "may__take1"}


def test_names_that_differ_only_in_ending_case_or_lost_characters_stay_apart():
    names = ["a.mp4", "a.avi", "A.mp4", "a b.mp4", "a_b.mp4", "ä.mp4", "ö.mp4", "x/y.mp4", "x__y.mp4"]
    assert len({clip_id.lower() for clip_id in clip_ids(names).values()}) == len(names)


@given(st.lists(st.text(string.printable + "äß語", min_size=1, max_size=140), min_size=1, max_size=8, unique=True))
def test_ids_are_unique_safe_folder_names(stems):
    names = sorted({stem.replace("\0", "").strip("/") + "/v.mp4" for stem in stems})
    ids = clip_ids(names)
    assert len(set(ids.values())) == len(names)
    safe = set(string.ascii_letters + string.digits + "._-")
    for clip_id in ids.values():
        assert set(clip_id) <= safe and not clip_id.startswith(".") and 0 < len(clip_id) < 140


def test_an_id_does_not_depend_on_the_other_videos_unless_they_collide():
    assert clip_ids(["ä.mp4", "b.mp4"])["ä.mp4"] == clip_ids(["ä.mp4"])["ä.mp4"]


@pytest.mark.parametrize(
    ("name", "nested", "identity"),
    [
        ("RD_Radio18_000.mp4", False, "RD_Radio18"),
        ("WDA_KatieHill_012.mp4", False, "WDA_KatieHill"),
        ("WRA_Some_Name_1.mp4", False, "WRA_Some_Name"),
        ("holiday.mp4", False, "holiday"),
        ("may/take1.mp4", True, "may"),
        ("may/day2/take1.mp4", True, "may"),
        ("alone.mp4", True, "alone"),
    ],
)
def test_who_is_in_a_video_without_a_table(name, nested, identity):
    assert identity_of(name, {}, nested) == identity


def test_a_table_wins_and_what_it_lacks_is_named_by_the_file(tmp_path):
    (tmp_path / "people.tsv").write_text(
        "licence\tfile\tidentity\nMIT\tx/1.mp4\tann\nMIT\tx/2.mp4\t\nMIT\tx/3.mp4\tann\n"
    )
    touch(tmp_path, "x/1.mp4", "x/2.mp4", "x/3.mp4")
    sources = find_sources(tmp_path, identities=tmp_path / "people.tsv")
    assert [source.identity for source in sources] == ["ann", "2", "ann"]


def test_a_table_without_the_columns_is_refused(tmp_path):
    (tmp_path / "t.tsv").write_text("file\tperson\na\tb\n")
    with pytest.raises(DataError, match="no column 'identity'"):
        read_identities(tmp_path / "t.tsv")
    with pytest.raises(DataError, match=r"cannot read .*none\.tsv"):
        read_identities(tmp_path / "none.tsv")


def test_include_takes_a_part_and_names_what_is_missing(tmp_path):
    (tmp_path / "list.txt").write_text("# mine\n./b.mp4\n\n")
    assert read_include(tmp_path / "list.txt", ["a.mp4", "b.mp4"]) == ["b.mp4"]
    (tmp_path / "list.txt").write_text("a.mp4\nz.mp4\n")
    with pytest.raises(DataError, match=r"lists 1 files .* first is z\.mp4"):
        read_include(tmp_path / "list.txt", ["a.mp4"])
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(DataError, match="empty"):
        read_include(tmp_path / "list.txt", ["a.mp4"])


def test_a_name_that_another_video_could_give_its_shots_is_not_given():
    """film.mp4 with two shots makes film_000 and film_001."""
    ids = clip_ids(["film.mp4", "film_000.mp4", "Film_001.mov", "film_12.mp4", "other_000.mp4"])
    assert ids["film.mp4"] == "film" and ids["film_12.mp4"] == "film_12" and ids["other_000.mp4"] == "other_000"
    assert ids["film_000.mp4"].startswith("film_000-") and ids["Film_001.mov"].startswith("Film_001-")


def test_listed_clips_are_sources_with_frames_and_names_that_say_the_seconds(tmp_path):
    touch(tmp_path, "RD/Radio1.mp4")
    cuts = tuple(
        HdtfCut(tmp_path / "RD" / "Radio1.mp4", f"RD_Radio1_{n}", "Radio1", start, start + 2.02, None, None)
        for n, start in enumerate((0.5, 30.0))
    )
    first, second = listed_sources(HdtfPlan(cuts, ()), tmp_path)
    assert (first.name, first.clip_id, first.identity) == ("RD/Radio1.mp4 0.5-2.52 s", "RD_Radio1_0", "Radio1")
    assert first.video == "RD/Radio1.mp4" and first.part is not None and second.part is not None
    assert (first.part.start, first.part.stop) == (12, 63) and (second.part.start, second.part.stop) == (750, 801)
    assert first.part.cut is cuts[0]
    with pytest.raises(DataError, match="none of the 1 listed clips has its video"):
        listed_sources(HdtfPlan((), (("RD_X_0", "no video"),)), tmp_path)


def test_a_stamp_tells_a_file_by_its_size_and_time(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"12345")
    os.utime(path, ns=(5, 7))
    assert source_stamp(path) == {"bytes": 5, "mtime_ns": 7}

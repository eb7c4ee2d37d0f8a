"""HDTF's lists, made up here in the published format with its quirks."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prepare.sources.hdtf import HdtfCut, ListedBox, hdtf_identity, read_hdtf
from moda.errors import DataError


def write(folder: Path, **lists: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in lists.items():
        (folder / f"{name}.txt").write_bytes(text.encode())
    return folder


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    folder.mkdir(exist_ok=True)
    return folder


def cut(box: tuple[int, int, int, int] | None, height: int | None) -> HdtfCut:
    return HdtfCut(Path("v.mp4"), "c", "i", 0.0, 1.0, None if box is None else ListedBox(*box), height)


def test_every_listed_clip_is_cut_and_cropped_as_listed(tmp_path):
    lists = write(
        tmp_path / "HDTF_dataset",
        RD_annotion_time="Radio1.mp4 00:20-01:35\nRadio11.mp4 00:30-01:00 01:30-02:30 \n",
        RD_crop_wh="Radio11_1.mp4 557 478 0 478\nRadio1_0.mp4 466 535 12 535\nRadio11_0.mp4 412 599 0 599\n",
        RD_resolution="Radio1.mp4 720\nRadio11.mp4 1080\n",
        RD_video_url="Radio1 https://a\nRadio11.mp4 https://b\n",
        WDA_annotion_time="AnnaBerg-Moe0.mp4 1:02:03-1:02:10\nAnnaBerg-Moe1.mp4 75:02-75:10.5\n",
        WDA_crop_wh="AnnaBerg-Moe0_0.mp4 44 500 0 500\nAnnaBerg-Moe1_0.mp4 44 400 1 400\n",
        WDA_resolution="AnnaBerg-Moe0.mp4 720\nAnnaBerg-Moe1.mp4 720\n",
    )
    videos = touch(
        tmp_path / "videos", "RD_Radio1.mkv", "RD/Radio11.mp4", "AnnaBerg-Moe0.WEBM", "AnnaBerg-Moe1/some title.mp4"
    )
    plan = read_hdtf(lists, videos)
    assert plan == read_hdtf(tmp_path, videos), "the folder above will do"
    assert plan.missing == () and plan.notes == ()
    assert plan.cuts == (
        HdtfCut(videos / "RD_Radio1.mkv", "RD_Radio1_000", "RD_Radio1", 20, 95, ListedBox(466, 12, 535, 535), 720),
        HdtfCut(videos / "RD/Radio11.mp4", "RD_Radio11_000", "RD_Radio11", 30, 60, ListedBox(412, 0, 599, 599), 1080),
        HdtfCut(videos / "RD/Radio11.mp4", "RD_Radio11_001", "RD_Radio11", 90, 150, ListedBox(557, 0, 478, 478), 1080),
        HdtfCut(
            *(videos / "AnnaBerg-Moe0.WEBM", "WDA_AnnaBerg-Moe0_000", "WDA_AnnaBerg-Moe"),
            *(3723, 3730, ListedBox(44, 0, 500, 500), 720),
        ),
        HdtfCut(
            *(videos / "AnnaBerg-Moe1/some title.mp4", "WDA_AnnaBerg-Moe1_000", "WDA_AnnaBerg-Moe"),
            *(4502, 4510.5, ListedBox(44, 1, 400, 400), 720),
        ),
    )


def test_marks_of_other_editors_change_nothing(tmp_path):
    plain = "Ann-Lee.mp4 00:05-00:20 00:30-00:50\nBo.mp4 00:05-00:20\n"
    odd = "\ufeffAnn-Lee.mp4\t00:05\u201300:20  00:30 \u2014 00:50\t\r\n\r\n# Bo is next\r\n  Bo 00:05 - 00:20 \r\n"
    videos = touch(tmp_path / "videos", "WRA_Ann-Lee.mp4", "WRA_Bo.mp4")
    first = read_hdtf(write(tmp_path / "a", WRA_annotion_time=plain), videos)
    second = read_hdtf(write(tmp_path / "b", WRA_annotion_time=odd), videos)
    assert len(first.cuts) == 3 and first == second


def test_what_cannot_be_cut_is_missing_and_says_why(tmp_path):
    lists = write(
        tmp_path / "lists",
        WDA_annotion_time="Gone.mp4 00:01-00:09 00:10-00:20\nTwo.mp4 00:01-00:09\nThere.mp4 00:01-00:09\n",
        WDA_video_url="Gone https://www.example.org/watch?v=1\nNever https://x\n",
    )
    videos = touch(tmp_path / "videos", "Two/a.mp4", "Two/b.mp4", "There.mp4", "Gone.txt", "Gone.mp4.part")
    plan = read_hdtf(lists, videos)
    assert [cut.clip_id for cut in plan.cuts] == ["WDA_There_000"]
    assert [clip_id for clip_id, _ in plan.missing] == ["WDA_Gone_000", "WDA_Gone_001", "WDA_Two_000"]
    reasons = dict(plan.missing)
    assert "no video WDA_Gone.*" in reasons["WDA_Gone_001"] and "watch?v=1" in reasons["WDA_Gone_001"]
    assert "2 videos in" in reasons["WDA_Two_000"]
    assert ("WDA_Never", "listed, but without time spans: no clip") in plan.notes


def test_clips_without_a_believable_crop_are_cropped_by_our_own_rule_and_that_is_said(tmp_path):
    lists = write(
        tmp_path / "lists",
        WRA_annotion_time="No.mp4 00:01-00:09\nTall.mp4 00:01-00:09\nOver.mp4 00:01-00:09\nZero.mp4 00:01-00:09\n",
        WRA_crop_wh="Tall_0.mp4 178 872 0 872\nOver_0.mp4 300 715 10 715\nZero_0.mp4 1 400 0 400\nNo_3.mp4 1 2 3 2\n",
        WRA_resolution="No.mp4 720\nTall.mp4 720\nOver.mp4 720\nZero.mp4 0\n",
    )
    videos = touch(tmp_path / "videos", "No.mp4", "Tall.mp4", "Over.mp4", "Zero.mp4")
    plan = read_hdtf(lists, videos)
    cuts, notes = {cut.clip_id: cut for cut in plan.cuts}, dict(plan.notes)
    assert cuts["WRA_No_000"].box is None and "no crop is listed" in notes["WRA_No_000"]
    assert cuts["WRA_Tall_000"].box is None and "outside a picture 720 high" in notes["WRA_Tall_000"]
    assert cuts["WRA_Over_000"].box == (300, 10, 715, 715) and "WRA_Over_000" not in notes
    assert cuts["WRA_Zero_000"].box_in(1280, 720) == (1, 0, 400) and "no height is listed" in notes["WRA_Zero_000"]
    assert "no time span" in notes["WRA_No_3"]


def test_clips_are_numbered_in_the_listed_order_even_if_their_times_overlap(tmp_path):
    lists = write(tmp_path / "lists", WRA_annotion_time="M.mp4 08:10-08:30 00:33-08:53\n")
    plan = read_hdtf(lists, touch(tmp_path / "videos", "M.mp4"))
    assert [(cut.clip_id, cut.start_seconds, cut.stop_seconds) for cut in plan.cuts] == [
        ("WRA_M_000", 490, 510),
        ("WRA_M_001", 33, 533),
    ]
    assert ("WRA_M_001", "its time overlaps that of clip 000") in plan.notes


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RD_annotion_time", "A.mp4 00:30\n"),
        ("RD_annotion_time", "A.mp4\n"),
        ("RD_annotion_time", "A.mp4 00:30-00:20\n"),
        ("RD_annotion_time", "A.mp4 00:30-00:75\n"),
        ("RD_annotion_time", "A.mp4 30-40\n"),
        ("RD_annotion_time", "A.mp4 00:01-00:05-00:09\n"),
        ("RD_annotion_time", "A.mp4 00:01-00:05 | 00:09-00:10\n"),
        ("RD_annotion_time", "A.mp4 00:01-00:05\n"),
        ("RD_crop_wh", "A_0.mp4 1 2 3\n"),
        ("RD_crop_wh", "A_0.mp4 1 2 3 4 5\n"),
        ("RD_crop_wh", "A_0.mp4 1 0 3 0\n"),
        ("RD_crop_wh", "A.mp4 1 2 3 2\n"),
        ("RD_crop_wh", "A_0.mp4 a b c d\n"),
        ("RD_resolution", "A.mp4 high\n"),
        ("RD_resolution", "A.mp4 720\nA.mp4 1080\n"),
    ],
)
def test_lines_that_cannot_be_read_are_named(tmp_path, name, text):
    lists = write(tmp_path / "lists", RD_annotion_time="A.mp4 00:01-00:09\n")
    before = (lists / f"{name}.txt").read_text() if name == "RD_annotion_time" else ""
    write(lists, **{name: "\n" + before + text})
    line = 1 + (before + text).count("\n")
    with pytest.raises(DataError, match=rf"{name}\.txt, line {line}"):
        read_hdtf(lists, touch(tmp_path / "videos"))


def test_folders_that_are_not_there_are_named(tmp_path):
    with pytest.raises(DataError, match="no HDTF lists in"):
        read_hdtf(tmp_path, tmp_path)
    lists = write(tmp_path / "lists", RD_annotion_time="A.mp4 00:01-00:09\n")
    with pytest.raises(DataError, match="no such folder of videos"):
        read_hdtf(lists, tmp_path / "nowhere")
    (lists / "RD_crop_wh.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="RD_crop_wh"):
        read_hdtf(lists, tmp_path)


def test_a_box_follows_the_height_of_the_video_that_was_downloaded():
    assert cut((306, 41, 480, 480), 720).box_in(1280, 720) == (306, 41, 480)
    assert cut((306, 41, 480, 480), 720).box_in(1920, 1080) == (459, 62, 720)
    assert cut((306, 40, 480, 480), 720).box_in(640, 360) == (153, 20, 240)
    assert cut(None, None).box_in(640, 360) is None


def test_a_box_that_is_not_square_becomes_the_square_around_it():
    assert cut((100, 100, 200, 300), 720).box_in(1280, 720) == (50, 100, 300)
    assert cut((0, 100, 200, 300), 720).box_in(1280, 720) == (0, 100, 300), "moved inside the picture"


@given(
    st.tuples(*[st.integers(-50, 3000)] * 2, *[st.integers(1, 3000)] * 2),
    st.one_of(st.none(), st.integers(100, 2160)),
    st.integers(16, 4000),
    st.integers(16, 4000),
)
def test_a_box_always_lies_inside_the_picture(box, listed, width, height):
    left, top, side = cut(box, listed).box_in(width, height)
    assert left >= 0 and top >= 0 and side >= 1 and left + side <= width and top + side <= height


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("WDA_BarackObama0_000", "WDA_BarackObama"),
        ("WDA_BarackObama1_001.mp4", "WDA_BarackObama"),
        ("WDA_BarackObama_000", "WDA_BarackObama"),
        ("WRA_LucilleRoybal-Allard_012", "WRA_LucilleRoybal-Allard"),
        ("WRA_Some_Name_1", "WRA_Some_Name"),
        ("RD_Radio11_000", "RD_Radio11"),
        ("RD_Radio1_000", "RD_Radio1"),
        ("RD_Radio1_000_002", "RD_Radio1"),
        ("WDA_WhipJimClyburn_000", "WDA_JamesClyburn"),
        ("WDA_JamesClyburn1_000", "WDA_JamesClyburn"),
        ("WDA_123_000", "WDA_123"),
        ("RD_Radio11", None),
        ("holiday_000", None),
        ("XWDA_BarackObama_000", None),
    ],
)
def test_the_name_of_a_clip_says_who_is_in_it(name, identity):
    assert hdtf_identity(name) == identity

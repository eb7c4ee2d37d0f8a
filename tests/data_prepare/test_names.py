"""Names of files may be any bytes, lists of any editor; none ends a run, leaves the store or acts on the page."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_prepare.annotation_masks import MAX_FRAME_BYTES, FrameStack
from data_prepare.annotations import Annotations
from data_prepare.report.page import write_page
from data_prepare.scan.video import read_scan
from data_prepare.sources.folder import find_sources, read_identities
from data_prepare.sources.hdtf import read_hdtf
from data_prepare.split_lists import PublishedLists
from moda.data.sync_windows import read_offsets
from moda.errors import DataError
from moda.media.audio import read_audio, write_wav
from moda.reasons import summed_up

LATIN = os.fsdecode(b"caf\xe9.mp4")
EVIL = "esc\x1b[31m\x9b2J.mp4"
MARKS = [(b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"", "utf-8")]


@pytest.fixture
def videos(tmp_path) -> Path:
    folder = tmp_path / "videos"
    (folder / os.fsdecode(b"m\xfcller")).mkdir(parents=True)
    for name in (LATIN, EVIL, "new\nline.mp4", os.fsdecode(b"m\xfcller/a.mp4"), "plain.mp4"):
        (folder / name).write_bytes(b"x")
    return folder


def test_names_that_are_no_text_have_safe_ids_that_last(videos):
    sources = find_sources(videos)
    assert len(sources) == 5 and len({source.clip_id for source in sources}) == 5
    assert all(source.clip_id.isascii() and source.clip_id.isprintable() for source in sources)
    assert {source.name: source.clip_id for source in sources}["plain.mp4"] == "plain"
    assert [source.clip_id for source in find_sources(videos)] == [source.clip_id for source in sources]
    assert json.loads(json.dumps([source.name for source in sources])) == [source.name for source in sources]


def test_lists_name_such_files_too(videos, tmp_path):
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbf" + os.fsencode(f"{LATIN}\r\n{EVIL}\r\n"))
    (tmp_path / "people").write_bytes(b"\xef\xbb\xbf" + os.fsencode(f"file\tidentity\r\n{LATIN}\tann\r\n"))
    found = find_sources(videos, include=tmp_path / "list", identities=tmp_path / "people")
    assert {source.name: source.identity for source in found} == {LATIN: "ann", EVIL: EVIL.removesuffix(".mp4")}


@pytest.mark.parametrize(("mark", "encoding"), MARKS)
def test_every_list_is_read_with_a_byte_order_mark(tmp_path, mark, encoding):
    def written(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(mark + text.encode(encoding))
        return tmp_path / name

    assert read_identities(written("people", "file\tidentity\na.mp4\tann\n")) == {"a.mp4": "ann"}
    assert read_offsets(written("offsets", "a\t1.5\n")) == {"a": 1.5}
    written("train.txt", "a\r\nb\r\n")
    assert PublishedLists.read(tmp_path).names["train"] == ("a", "b")
    written("RD_annotion_time.txt", "A.mp4 00:01-00:09\n")
    (tmp_path / "A.mp4").write_bytes(b"x")
    assert [cut.clip_id for cut in read_hdtf(tmp_path, tmp_path).cuts] == ["RD_A_000"]


@pytest.mark.parametrize("name", ["/etc/A.mp4", "../A.mp4", "..", "a/b", "a\\b", ".hidden.mp4", ".mp4"])
@pytest.mark.parametrize("which", ["annotion_time", "crop_wh", "resolution", "video_url"])
def test_hdtf_names_are_plain(tmp_path, name, which):
    (tmp_path / "RD_annotion_time.txt").write_text("A.mp4 00:01-00:09\n")
    rest = {"annotion_time": "00:01-00:09", "crop_wh": "0 1 0 1", "resolution": "720", "video_url": "https://x"}[which]
    (tmp_path / f"RD_{which}.txt").write_text(f"{name} {rest}\n")
    with pytest.raises(DataError, match=rf"RD_{which}\.txt, line 1: got .* wanted the plain name of a video"):
        read_hdtf(tmp_path, tmp_path)


@pytest.mark.parametrize(("which", "rest"), [("annotion_time", "9" * 400 + ":00-00:09"), ("resolution", "9" * 5000)])
def test_hdtf_numbers_have_an_end(tmp_path, which, rest):
    (tmp_path / "RD_annotion_time.txt").write_text("A.mp4 00:01-00:09\n")
    (tmp_path / f"RD_{which}.txt").write_text(f"A.mp4 {rest}\n")
    with pytest.raises(DataError, match=rf"RD_{which}\.txt, line 1: got"):
        read_hdtf(tmp_path, tmp_path)


def test_links_in_circles_end_and_the_store_is_no_footage(videos, tmp_path):
    plain = [source.name for source in find_sources(videos)]
    (videos / "loop").symlink_to(videos, target_is_directory=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "back").symlink_to(videos, target_is_directory=True)
    (videos / "there").symlink_to(tmp_path / "other", target_is_directory=True)
    assert [source.name for source in find_sources(videos)] == plain
    (tmp_path / "clips").mkdir()
    for folder, store in ((videos, videos), (tmp_path / "clips", tmp_path)):
        with pytest.raises(DataError, match=r"where the store .* keeps its own"):
            find_sources(folder, store)


def test_sound_is_written_and_read_under_any_name(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    write_wav(path, 0.1 * np.ones(3200, np.float32))
    assert len(read_audio(path)) == 3200


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 12_000, 12_000), f"at most {MAX_FRAME_BYTES >> 20} MB a frame"), ((10**12, 36, 64), "does not fit its")],
)
def test_a_mask_is_refused_by_what_it_claims(tmp_path, shape, said):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    claimed = b"\x93NUMPY\x01\x00v\x00" + header.encode()
    with zipfile.ZipFile(tmp_path / "person.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("mask.npy", "w", force_zip64=True) as file:
            file.write(claimed)
            file.write(bytes(144_000_000 if shape[0] == 1 else 0))
        np.savez(tmp_path / "fps.npz", fps=25)
        archive.writestr("fps.npy", zipfile.ZipFile(tmp_path / "fps.npz").read("fps.npy"))
    with pytest.raises(DataError, match=rf"person\.npz.*{said}"):
        FrameStack.open(tmp_path / "person.npz", "mask")


def test_a_pose_that_is_none_is_a_line(tmp_path):
    annotations = Annotations(tmp_path, ("pose.npz",))
    good = {"fps": np.array(25.0), "rotation": np.zeros((5, 3))}
    bad: list[dict[str, np.ndarray]] = [
        {**good, name: value}
        for name, values in {
            "fps": [np.array("x"), np.zeros(2), np.array(np.nan), np.array(-1.0), np.array(None, object)],
            "rotation": [np.zeros(3), np.zeros((0, 3)), np.full((5, 3), np.nan), np.full((5, 3), 1e300)],
            "convention": [np.array(3), np.array(["moda", "x"]), np.array({}, object), np.array("x" * 10_000)],
            "translation": [np.zeros((5, 3))],
            "scale": [np.zeros(5)],
        }.items()
        for value in values
    ]
    for arrays in bad:
        np.savez(tmp_path / "pose.npz", **arrays)
        with pytest.raises(DataError, match=r"pose\.npz") as refused:
            annotations.rotation(np.zeros(1))
        assert len(str(refused.value)) < 400
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x04K\x01."):
        (tmp_path / "pose.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"pose\.npz"):
            annotations.rotation(np.zeros(1))


def test_a_scan_that_is_none_is_made_again(tmp_path):
    path, stamp = tmp_path / "scan.json", {"a": 1}
    shot = {"start": 0, "stop": 9, "box": [1, 2, 30], "people": 1, "exact": False}
    whole = {"stamp": stamp, "frames": 9, "reason": "", "shots": [shot]}
    path.write_text(json.dumps(whole))
    scan = read_scan(path, stamp)
    assert scan is not None and scan.shots[0].box.side == 30
    changes = [{"shots": value} for value in (None, {}, [1], [[]], [{**shot, "box": []}], [{**shot, "stop": 0}])]
    for change in [*changes, {"frames": "many"}, {"reason": []}, {"shots": [{**shot, "box": [0, 0, 0]}]}]:
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(DataError, match="is not a scan"):
            read_scan(path, stamp)


def test_the_page_is_made_of_whatever_a_record_holds_and_shows_nothing_outside(tmp_path):
    values: list[object] = [None, [], {}, "x", 3, 10**400, True, [1], {"a": 1}, EVIL, "\ud800"]
    names = ("clips", "totals", "identities", "splits", "notes", "missing", "settings")
    for name in names:
        for value in values:
            write_page(tmp_path, {name: value})
    for name in (
        "id",
        "source",
        "identity",
        "status",
        "reason",
        "step",
        "frames",
        "shot",
        "quality",
        "offset",
        "preview",
    ):
        for value in values:
            write_page(tmp_path, {"clips": [{"status": "kept", name: value}]})
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    clips = [{"id": "../..", "status": "kept", "preview": "../secret.jpg"}, {"id": EVIL, "source": LATIN}]
    write_page(tmp_path / "out", {"clips": clips})
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "secret" not in page and "\x1b" not in page and "\x9b" not in page
    assert r"esc\x1b[31m\x9b2J.mp4" in page and r"caf\xe9.mp4" in page


def test_reasons_with_the_sign_for_a_number_are_summed_up():
    assert summed_up(["film # of 3", "film 2 of 3"]) == "film # of 3"

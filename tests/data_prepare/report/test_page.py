"""The page that a person reads."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from data_prepare.report.curve import (
    CURVE_HEIGHT,
    MAX_CURVE_POINTS,
    Curves,
    area_path,
    line_path,
    paths_of,
    read_curves,
)
from data_prepare.report.page import MAX_HISTOGRAM_REASONS, write_page
from data_prepare.report.words import figure_text, number, offset_words, without_paths
from moda.errors import OutputError
from moda.reasons import reason_group, summed_up

EVIL = "<script>alert(1)</script> \"q\" 'a' & ünï ✓"
VOID = {"meta", "img", "input"}


class Page(HTMLParser):
    """The page's elements and text; fails on elements that are closed in the wrong order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words += data

    def all(self, tag: str, kind: str = "") -> list[dict[str, str]]:
        return [found for name, found in self.elements if name == tag and kind in [*found.get("class", "").split(), ""]]


def clip(name: str, status: str = "kept", **more: Any) -> dict[str, Any]:
    return {
        "id": name, "source": f"{name}.mp4", "identity": f"{name}'s owner", "status": status, "reason": "", "step": "",
        "frames": 1500, "shot": [1.0, 61.0], "split": "train" if status == "kept" else "",
        "quality": {"tracked": 0.987, "face_px": 140.2}, "has_audio": True,
        "offset": {"frames": -2.0, "confidence": 0.7, "settled": True, "corrected": True},
        "preview": f"clips/{name}/preview.jpg", **more,
    }  # fmt: skip


def report(*clips: dict[str, Any], **more: Any) -> dict[str, Any]:
    kept = sum(entry["status"] == "kept" for entry in clips)
    totals = {"videos": 41, "clips": len(clips), "kept": kept, "minutes": 73.25, "frames": 109875}
    people = {"train": 5, "val": 2, "test": 1}
    return {"totals": totals, "identities": people, "splits": {"train": kept}, "clips": list(clips), **more}


def make_files(out: Path, name: str, curves: object = None) -> None:
    folder = out / "clips" / name
    folder.mkdir(parents=True)
    (folder / "preview.jpg").write_bytes(b"any")
    if curves is not None:
        (folder / "preview.json").write_text(json.dumps(curves))


def test_rows_totals_and_reasons(tmp_path: Path) -> None:
    make_files(tmp_path, "a", {"seconds": 60.0, "lip_opening": [1.0, None, 3.0], "envelope": [-20.0, -30.0]})
    late = [clip(f"r{i}", "rejected", step="probe", reason=f"lasts 0.{i} s, wanted at least 1 s") for i in (3, 5, 7)]
    failed = clip("f", "failed", step="pack", reason="cannot write /out/clips/f: No space left on device")
    missing = [{"id": "WDA_X_000", "reason": "no such file"}]
    write_page(tmp_path, report(clip("a"), *late, failed, missing=missing, settings={"size": 512, "limits": {"o": 8}}))
    page = Page(tmp_path / "report.html")
    assert len(page.all("article")) == 5
    assert [len(page.all("article", status)) for status in ("kept", "rejected", "failed")] == [1, 3, 1]
    for words in (
        "41videos", "5clips", "1kept, 20.0\xa0%", "3rejected, 60.0\xa0%", "1failed", "73.2minutes kept",
        "109\u202f875frames kept", "8people", "3lasts 0.3–0.7 s, wanted at least 1 s", "1cannot write … No space left",
        "probe: lasts 0.5 s, wanted at least 1 s", "1 listed videos are not there", "WDA_X_000: no such file",
        'limits: {"o": 8}', "tracked98.7 %", "face140 px", "lips 0–20 px", "1.00–61.00 s of the source",
        "offset −2.0 frames (−80 ms, picture early), corrected, confidence 0.70", "train511.0",
    ):  # fmt: skip
        assert words in page.words, words
    marks = [row.get("data-reason") for row in page.all("article")]
    assert marks == [None, "0", "0", "0", "1"]
    assert [link["data-reason"] for link in page.all("a") if "data-reason" in link] == ["0", "1"]
    assert [picture["loading"] for picture in page.all("img")] == ["lazy"]


def test_names_are_escaped_and_addresses_lead_to_the_files(tmp_path: Path) -> None:
    names = [EVIL.replace("/", "_"), "100% #1?.x", "ein Ordner", "\u202egnp.exe\n", "byte\udcff"]
    for name in names:
        make_files(tmp_path, name)
        (tmp_path / "clips" / name / "video.mp4").write_bytes(b"any")
    evil = clip("w", "rejected", reason=EVIL, step=EVIL, identity=EVIL, source=EVIL, quality={EVIL: 1.0}, split=EVIL)
    names_of_all = {"missing": [{"id": EVIL, "reason": EVIL}], "settings": {EVIL: EVIL}, "splits": {EVIL: 1}}
    write_page(tmp_path, report(*map(clip, names), evil, **names_of_all))
    page = Page(tmp_path / "report.html")
    assert len(page.all("script")) == 1 and len(page.all("b")) == 8 + 1
    assert page.words.count(EVIL) >= 9
    assert "\u202e" not in page.words and "gnp.exe" in page.words
    links = [link["href"] for link in page.all("a") if not link["href"].startswith("#")]
    assert len(links) == 10
    for address in links + [picture["src"] for picture in page.all("img")]:
        assert re.fullmatch(r"clips/[A-Za-z0-9%_.~-]+/(preview\.jpg|video\.mp4)", address), address
        assert (tmp_path / unquote(address, errors="surrogateescape")).is_file()


def test_nothing_comes_from_elsewhere_and_twice_the_same_bytes(tmp_path: Path) -> None:
    make_files(tmp_path, "a", {"seconds": 1.0, "lip_opening": [1.0], "envelope": []})
    write_page(tmp_path, report(clip("a")))
    before = (tmp_path / "report.html").read_bytes()
    assert b"http" not in before and b"//" not in before and b"@import" not in before
    assert str(tmp_path).encode() not in before
    write_page(tmp_path, report(clip("a")))
    assert (tmp_path / "report.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "report.html"]


@pytest.mark.parametrize(
    "curves", ["", "[]", "{", '{"seconds": 1}', '{"seconds": "x", "lip_opening": [1]}', '{"lip_opening": [1]}',
               '{"seconds": NaN, "lip_opening": [1]}', '{"seconds": 1, "lip_opening": {"a": 1}, "envelope": "no"}'],
)  # fmt: skip
def test_missing_or_broken_pictures_and_curves_are_left_out(tmp_path: Path, curves: str) -> None:
    (tmp_path / "clips" / "a").mkdir(parents=True)
    (tmp_path / "clips" / "a" / "preview.json").write_text(curves)
    write_page(tmp_path, report(clip("a"), clip("b", preview="")))
    page = Page(tmp_path / "report.html")
    assert len(page.all("article", "bare")) == 2
    assert page.all("img") == page.all("svg") == []


def test_records_with_gaps_make_a_page(tmp_path: Path) -> None:
    write_page(tmp_path, {})
    assert "No clips." in Page(tmp_path / "report.html").words
    bare = {"id": "x", "status": "kept", "quality": {"tracked": float("nan"), "bad": None, "s": "t"}, "offset": None}
    write_page(tmp_path, {"clips": [bare, {"status": "unheard of"}]})
    page = Page(tmp_path / "report.html")
    assert [len(page.all("article", status)) for status in ("kept", "failed")] == [1, 1]
    assert "no audio" in page.words and "nan" not in page.words and "no reason given" in page.words


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*report\.html"):
        write_page(tmp_path / "nowhere", report(clip("a")))


def test_rare_reasons_are_added_up_and_figures_far_from_the_rest_are_marked(tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrst"
    rejected = [
        clip(f"r{letter}", "rejected", reason=f"reason {letter}", quality={"face_px": 140.2}) for letter in letters
    ]
    kept = [clip(f"k{i}", quality={"face_px": 100.0 + i, "tracked": 1.0}) for i in range(30)]
    write_page(tmp_path, report(*kept, *rejected))
    page = Page(tmp_path / "report.html")
    keys = [link["data-reason"] for link in page.all("a") if "data-reason" in link]
    assert keys == [str(key) for key in range(MAX_HISTOGRAM_REASONS + 1)]
    assert f"{len(letters) - MAX_HISTOGRAM_REASONS}rarer reasons" in page.words
    far = [float(cell["data-v"]) for cell in page.all("dd", "far")]
    assert [value for value in far if value < 140] == [100.0, 101.0, 128.0, 129.0]
    assert far.count(140.2) == len(letters), "rejected clips are compared with the kept ones"


def test_a_clip_may_have_several_reasons(tmp_path: Path) -> None:
    small, dim = "the face is 30 px, wanted 40", "the face is blurred (sharpness 3.0, wanted 9)"
    both = clip("a", "rejected", step="quality", reason=f"{dim}; {small}")
    write_page(tmp_path, report(both, clip("b", "rejected", step="quality", reason=small.replace("30", "35"))))
    page = Page(tmp_path / "report.html")
    assert "2the face is 30–35 px, wanted 40" in page.words and f"1{dim}" in page.words
    assert [row["data-reason"] for row in page.all("article")] == ["1 0", "0"]


def points(path: str) -> list[tuple[int, int]]:
    """Follow M (to) and l (by) of a path."""
    found: list[tuple[int, int]] = []
    for piece in re.findall(r"M(\d+) (\d+)l([-\d ]*)", path):
        x, y = int(piece[0]), int(piece[1])
        found.append((x, y))
        steps = [int(word) for word in piece[2].split()]
        for dx, dy in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + dx, y + dy
            found.append((x, y))
    return found


def test_paths_go_through_the_values_and_break_at_gaps() -> None:
    assert points(line_path([5, 9, 2, None, 7, 7, None, 3])) == [
        (0, 5), (1, 9), (2, 2), (4, 7), (5, 7), (7, 3), (7, 3)
    ]  # fmt: skip
    assert line_path([None, None]) == "" == area_path([])
    assert (
        area_path([10, None, 20]) == f"M0 {CURVE_HEIGHT}V10l1 {CURVE_HEIGHT - 10} 1 {20 - CURVE_HEIGHT}V{CURVE_HEIGHT}z"
    )
    assert area_path([10]) == f"M0 {CURVE_HEIGHT}V10l1 0V{CURVE_HEIGHT}z"


def test_curves_are_drawn_to_scale_and_never_long(tmp_path: Path) -> None:
    audio, lips = paths_of(Curves([0.0, 10.0, 40.0], [-60.0, -30.0, 0.0], 1.0))
    assert (audio["kind"], lips["kind"], lips["width"]) == ("audio", "lips", 2)
    assert points(lips["path"]) == [(0, CURVE_HEIGHT), (1, CURVE_HEIGHT * 3 // 4), (2, 0)]
    half = -CURVE_HEIGHT // 2
    assert audio["path"] == f"M0 {CURVE_HEIGHT}V{CURVE_HEIGHT}l1 {half} 1 {half}V{CURVE_HEIGHT}z"
    path = tmp_path / "preview.json"
    path.write_text(json.dumps({"seconds": 9, "lip_opening": [float(i) for i in range(1000)], "envelope": []}))
    curves = read_curves(path)
    assert curves is not None and len(curves.lip_opening) == MAX_CURVE_POINTS and curves.envelope == []


def test_words() -> None:
    assert number(-0.04, 1) == "0.0" and number(-12345.6, 0) == "−12\u202f346"
    assert figure_text("tracked", 0.5) == "50.0 %" and figure_text("new_thing", 0.01234) == "0.0123"
    assert figure_text("new_thing", 1234.5) == "1\u202f234" and figure_text("new_thing", 0.0) == "0.00"
    assert offset_words({"frames": 1.0, "settled": False}, True) == (
        "offset +1.0 frame (+40 ms, picture late), not settled"
    )
    assert offset_words(None, True) == "offset not measured" and offset_words(None, False) == "no audio"
    plain = without_paths("not one frame can be read from /a b/two words.mp4 (code 1)", "two words.mp4")
    assert plain.endswith("two words.mp4 (code 1)") is False and "words" not in plain
    assert reason_group("offset -3.5 frames of clip_2") == reason_group("offset 12 frames of clip_2")
    assert summed_up(["-3.5 of 8", "+12 of 8", "2 of 8"]) == "-3.5–+12 of 8"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the chromium browser")
def test_a_browser_filters_and_sorts(tmp_path: Path) -> None:
    sizes = [300.0, 100.0, 200.0]
    kept = [clip(f"k{i}", quality={"face_px": size}) for i, size in enumerate(sizes)]
    write_page(tmp_path, report(*kept, clip("r", "rejected", reason="dark"), clip("f", "failed", reason="odd")))
    page = tmp_path / "report.html"
    act = """<script>{
      const said = [], say = () => said.push(document.getElementById('shown').textContent);
      const press = status => { document.querySelector('#controls button[value="' + status + '"]').click(); say(); };
      say(); press('rejected'); press('kept'); document.querySelector('.reasons a').click(); say(); press('');
      const find = document.querySelector('#controls input');
      find.value = 'K1.MP4'; find.dispatchEvent(new Event('input')); say();
      const way = document.querySelector('#controls select');
      way.value = 'face_px/down'; way.dispatchEvent(new Event('change'));
      said.push([...document.querySelectorAll('.clip h3 bdi')].map(name => name.textContent).join(' '));
      document.title = said.join('|') + '|' + document.getElementById('controls').hidden;
    }</script></body>"""
    page.write_text(page.read_text().replace("</body>", act))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120).stdout
    title = re.search("<title>(.*?)</title>", shown)
    assert title, shown[:500]
    counts = [f"{count} of 5 shown" for count in (5, 1, 3, 1, 5, 1)]
    assert title.group(1).split("|") == [*counts, "k0 k2 r f k1", "false"]

"""The folder of a study: nothing of it that people get tells which method a video is of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from moda.cli.main import run
from moda.cli.study import main
from moda.errors import DataError, MediaError, OutputError
from moda.media.audio import read_audio
from moda.media.video import probe
from moda.study.key import read_key
from moda.study.make import Plan, make_study
from tests.study.videos import CLIPS, METHODS, write_folders, write_video


def made(output: Path, methods: dict[str, Path], **settings: Any) -> list[str]:
    """Make a study; returns what was said."""
    said: list[str] = []
    settings = {"truth": "truth", "participants": 6, **settings}
    make_study(Plan(methods, **settings), output, said.append, lambda done, total: None)
    return said


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_folders(tmp_path_factory.mktemp("methods"))


@pytest.fixture(scope="module")
def study(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("made") / "study"
    assert made(output, folders) == []
    return output


def test_nothing_that_people_get_names_methods_clips_or_tools(study: Path) -> None:
    page = study / "page"
    names = {path.stem for path in (page / "videos").iterdir()}
    assert len(names) == 3 * 2 + 2 and all(re.fullmatch("[0-9a-f]{6}", name) for name in names)
    secret = re.compile("|".join([*METHODS, *CLIPS, "moda[^-]", "generated", "truth", "seed"]).encode(), re.IGNORECASE)
    for path in page.rglob("*"):
        if path.is_file():
            assert not secret.search(path.read_bytes()), path
    sizes = {tuple(sorted(av.open(str(path)).metadata.items())) for path in (page / "videos").iterdir()}
    assert len(sizes) == 1, "metadata tell videos apart"


def test_the_key_tells_what_is_what(study: Path, folders: dict[str, Path]) -> None:
    key = read_key(study)
    assert (key.methods, key.truth, key.clips, len(key.orders)) == (METHODS, "truth", CLIPS, 6)
    assert {where for where in key.videos.values() if where[0]} == {(m, c) for m in METHODS for c in CLIPS}
    sound_of = json.loads((study / "key.json").read_text())["sound_of_controls"]

    def pitch(path: Path) -> float:
        wave = read_audio(path)
        return float(np.argmax(np.abs(np.fft.rfft(wave, 16_000))))

    for name, (method, clip) in key.videos.items():
        copy = study / "page" / "videos" / f"{name}.mp4"
        heard = sound_of[name] if method is None else clip
        assert method is not None or heard != clip, "a control with its own sound"
        assert pitch(copy) == pytest.approx(300 + 500 * CLIPS.index(heard), abs=15)
        source, info = probe(folders["truth"] / f"{clip}.mp4"), probe(copy)
        assert (info.width, info.fps) == (source.width, source.fps)
        assert info.seconds == pytest.approx(source.seconds, abs=0.05)


def test_the_page_holds_the_orders_of_the_key(study: Path) -> None:
    key, page = read_key(study), (study / "page" / "index.html").read_text()
    found = re.search(r'id="design">(.*?)</script>', page)
    assert found
    design = json.loads(found[1])
    for order, (ratings, pairs) in zip(design["orders"], key.orders, strict=True):
        assert [design["videos"][index] for index in order[0]] == list(ratings)
        assert [tuple(design["videos"][index] for index in pair) for pair in order[1]] == list(pairs)
    assert design["study"] == key.study and "<script src" not in page and "http" not in page


def test_the_seed_decides_names_and_orders(study: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    made(tmp_path / "same", folders)
    made(tmp_path / "other", folders, seed=1)
    page = (study / "page" / "index.html").read_bytes()
    assert (tmp_path / "same" / "page" / "index.html").read_bytes() == page
    assert (tmp_path / "same" / "key.json").read_bytes() == (study / "key.json").read_bytes()
    other = read_key(tmp_path / "other")
    assert other.study != read_key(study).study and not set(other.videos) & set(read_key(study).videos)


def test_clips_that_not_all_methods_have_are_named_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    methods = write_folders(tmp_path / "methods", METHODS[:2])
    write_video(methods["truth"] / "cy.mp4")
    for suffix in (".mp4", ".mov"):
        write_video(methods["ours_x"] / f"dan{suffix}")
    write_video(methods["truth"] / "dan.mp4", frames=40)
    (methods["truth"] / "notes.txt").write_text("not a video")
    write_video(methods["ours_x"] / "ann_01.mp4", frames=40)
    said = made(tmp_path / "study", methods, controls=0)
    assert said[0] == "2 of 4 clips left out: cy (not in ours_x); dan (more than once in ours_x)"
    assert said[1].startswith("videos of one clip differ in length, which tells them apart: ann_01 (truth 0.4 s")
    assert len(said) == 2 and read_key(tmp_path / "study").clips == CLIPS


def silent(folders: dict[str, Path], root: Path) -> dict[str, Path]:
    write_video(root / "mute" / "ann_01.mp4", sound=False)
    return {"truth": folders["truth"], "mute": root / "mute"}


def damaged(folders: dict[str, Path], root: Path) -> dict[str, Path]:
    (root / "bad").mkdir()
    (root / "bad" / "ann_01.mp4").write_bytes((folders["truth"] / "ann_01.mp4").read_bytes()[:900])
    return {"truth": folders["truth"], "bad": root / "bad"}


def disjoint(folders: dict[str, Path], root: Path) -> dict[str, Path]:
    write_video(root / "b" / "zoe.mp4")
    return {"truth": folders["truth"], "b": root / "b"}


WRONG: list[tuple[Callable[..., dict[str, Path]], dict[str, Any], type[Exception], str]] = [
    (silent, {}, MediaError, r"no sound in .*mute/ann_01\.mp4"),
    (damaged, {}, MediaError, r"bad/ann_01\.mp4"),
    (disjoint, {}, DataError, "no clip is in the folders of all methods: ann_01 .not in b.; .*zoe"),
    (lambda folders, root: {"truth": folders["truth"]}, {}, DataError, "wanted 2 or more NAME=DIR, got 1"),
    (
        lambda folders, root: folders,
        {"truth": "gt"},
        DataError,
        "the truth is 'gt', which is none of the methods: truth",
    ),
    (lambda folders, root: folders, {"truth": None, "controls": 1}, DataError, "name the true recordings by --truth"),
    (lambda folders, root: folders, {"controls": 3}, DataError, "controls of a participant: got 3, wanted 0 to 2"),
    (lambda folders, root: folders, {"clips_each": 3}, DataError, "clips of a participant: got 3, wanted 1 to 2"),
    (lambda folders, root: folders, {"pairs_each": 7}, DataError, "pairs of a participant: got 7, wanted 1 to 6"),
]


@pytest.mark.parametrize(("methods", "settings", "kind", "message"), WRONG)
def test_what_makes_no_study_is_one_error_and_leaves_nothing(
    methods: Callable[..., dict[str, Path]],
    settings: dict[str, Any],
    kind: type[Exception],
    message: str,
    folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(kind, match=message):
        made(tmp_path / "out" / "study", methods(folders, tmp_path), **settings)
    assert not list((tmp_path / "out").iterdir())


def test_a_study_is_not_written_over(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "key.json").write_text("{}")
    with pytest.raises(OutputError, match="is there already"):
        made(tmp_path / "study", folders)
    assert (tmp_path / "study" / "key.json").read_text() == "{}"


def test_a_consent_text_of_ones_own_is_shown_as_text(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "consent.txt").write_text("Ethics board 7 <b>agrees</b>.\n\nWrite to us.\r\n")
    words = ["make", *(f"{name}={path}" for name, path in folders.items()), "--output", str(tmp_path / "study")]
    assert main([*words, "--consent", str(tmp_path / "consent.txt")]) == 0
    page = (tmp_path / "study" / "page" / "index.html").read_text()
    assert "<p>Ethics board 7 &lt;b&gt;agrees&lt;/b&gt;.</p><p>Write to us." in page and "headphones" not in page
    assert not read_key(tmp_path / "study").controls, "controls without a named truth"
    said = capsys.readouterr()
    assert "6 videos; host" in said.out and run(main, words) == 2


def test_the_command_refuses_a_name_without_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make", "ours", "--output", str(tmp_path / "s")]) == 2
    assert "moda study make got 'ours', wanted NAME=DIR" in capsys.readouterr().err

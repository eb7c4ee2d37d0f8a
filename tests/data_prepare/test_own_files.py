"""Preparation removes and replaces what it made itself, and nothing else, through no link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data_prepare.options import Options
from data_prepare.own_files import CLIP_FILES, check_clip_place, link_files, remove_clip
from data_prepare.runner import prepare
from data_prepare.sources.videos import STORE_FOLDERS
from data_prepare.splits import SplitRule
from moda.data.store import ClipStore
from moda.errors import OutputError


def prepare_nothing(out: Path) -> None:
    prepare([], out, Options(size=64), rule=SplitRule())


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def home(tmp_path) -> Path:
    """Somebody's folder."""
    folder = tmp_path / "home"
    for name in (".ssh/id", ".git/config", ".bashrc", "work/.cache/x", ".film.tmp", ".x.0.tmp", "film.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def store(tmp_path) -> Path:
    prepare_nothing(tmp_path / "store")
    return tmp_path / "store"


def test_hidden_entries_that_are_not_ours_stay(store):
    for name in STORE_FOLDERS:
        (store / name / ".git").mkdir()
        (store / name / ".git" / "config").write_text("mine")
        (store / name / ".notes.tmp").write_text("mine")
        (store / name / ".film.0.moda-tmp").mkdir()
        (store / name / ".film.0.moda-tmp" / "video.mp4").write_text("half")
    (store / ".mine.tmp").write_text("mine")
    prepare_nothing(store)
    for name in STORE_FOLDERS:
        assert {path.name for path in (store / name).glob(".*")} == {".git", ".notes.tmp"}
        assert (store / name / ".git" / "config").read_text() == "mine"
    assert (store / ".mine.tmp").read_text() == "mine"


def test_no_link_is_followed(store, home):
    before = contents(home)
    for name in STORE_FOLDERS:
        (store / name / ".film.0.moda-tmp").symlink_to(home)
        (store / name / ".film.json.0.moda-tmp").symlink_to(home / ".bashrc")
        (store / name / ".link").symlink_to(home, target_is_directory=True)
    prepare_nothing(store)
    assert contents(home) == before and (store / "clips" / ".link").is_symlink()


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("name", STORE_FOLDERS)
def test_a_folder_of_the_store_that_is_a_link_loses_nothing(tmp_path, home, name, begun):
    before, out = contents(home), tmp_path / "out"
    if begun:
        ClipStore.create(out, 64)
    out.mkdir(exist_ok=True)
    if (out / name).is_dir():
        os.rmdir(out / name)
    (out / name).symlink_to(home, target_is_directory=True)
    if begun and name == "clips":  # the clips may lie on another disk
        prepare_nothing(out)
    else:
        with pytest.raises(OutputError, match=f"{name} is a link|holds {name}"):
            prepare_nothing(out)
    assert contents(home) == before


def test_the_lock_empties_no_file_and_follows_no_link(store, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (store / ".lock").unlink()
    (store / ".lock").symlink_to(precious)
    with pytest.raises(OutputError, match=r"\.lock: it is a link"):
        prepare_nothing(store)
    assert precious.read_text() == "keep"
    (store / ".lock").unlink()
    (store / ".lock").write_text("my notes")
    prepare_nothing(store)
    assert (store / ".lock").read_text() == "my notes"


@pytest.mark.parametrize("name", ["splits/train.txt", "clips/film/video.mp4", "scans/a", "report.html", "report.json"])
def test_a_folder_with_files_of_such_names_that_is_no_store_is_refused(tmp_path, name):
    path = tmp_path / "project" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"is no clip store \(it has no store.json\), but holds"):
        prepare_nothing(tmp_path / "project")
    assert contents(tmp_path / "project") == {name: "mine"}


def test_of_a_clip_only_its_own_files_are_removed(tmp_path):
    clip = tmp_path / "film"
    (clip / "labels").mkdir(parents=True)
    for name in (*CLIP_FILES, "notes.txt", "labels/a"):
        (clip / name).write_text(name)
    (clip / "preview.jpg").unlink()
    (clip / "preview.jpg").symlink_to(clip / "notes.txt")
    remove_clip(clip)
    assert contents(clip) == {"notes.txt": "notes.txt", "labels/a": "labels/a"}
    assert sorted(os.listdir(clip)) == ["labels", "notes.txt"]
    remove_clip(clip)  # not ours any more
    check_clip_place(clip)
    assert sorted(os.listdir(clip)) == ["labels", "notes.txt"]
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "clip.json").write_text("{}")
    remove_clip(tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_what_is_in_the_place_of_a_clip_is_refused_not_removed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "video.mp4").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "file").write_text("mine")
    for name, words in (("mine", "holds video.mp4 but neither"), ("link", "is a link"), ("file", "is not a folder")):
        with pytest.raises(OutputError, match=words):
            check_clip_place(tmp_path / name)
        remove_clip(tmp_path / name)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "mine"
    assert contents(tmp_path / "mine") == {"video.mp4": "mine"}


def test_what_else_lies_in_a_clip_is_linked_with_its_folders_and_links(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "labels").mkdir(parents=True)
    for name in ("clip.json", "notes.txt", "labels/clip.json"):
        (old / name).write_text(name)
    (old / "there").symlink_to("/nowhere")
    new.mkdir()
    link_files(old, new, lambda name: name not in CLIP_FILES)
    assert sorted(os.listdir(new)) == ["labels", "notes.txt", "there"]
    assert os.path.samefile(old / "labels" / "clip.json", new / "labels" / "clip.json")
    assert os.readlink(new / "there") == "/nowhere"

from pathlib import Path

import pytest

from moda.errors import DataError
from moda.metrics.folders import find_videos, parse_named_folders


def test_videos_by_stem(tmp_path) -> None:
    for name in ("a.mp4", "b.MOV", "b.mkv", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    found = find_videos(tmp_path)
    assert {stem: [path.name for path in paths] for stem, paths in found.items()} == {
        "a": ["a.mp4"],
        "b": ["b.MOV", "b.mkv"],
    }


def test_folders_that_cannot_be_used(tmp_path) -> None:
    with pytest.raises(DataError, match=r"no such folder: .*gone"):
        find_videos(tmp_path / "gone")
    with pytest.raises(DataError, match="no videos in"):
        find_videos(tmp_path)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(DataError, match="not a folder"):
        find_videos(tmp_path / "a.mp4")
    with pytest.raises(DataError, match="no clip store"):
        find_videos(tmp_path, split="test")


def test_names() -> None:
    assert parse_named_folders(["ours=x/y", "b = c"]) == {"ours": Path("x/y"), "b": Path(" c")}
    for words, message in [
        (["x/y"], "wanted NAME=DIR"),
        (["=x"], "wanted NAME=DIR"),
        (["ours="], "wanted NAME=DIR"),
        (["a=x", "a=y"], "names 'a' twice"),
        (["still mouth=x"], "control row"),
    ]:
        with pytest.raises(DataError, match=message):
            parse_named_folders(words, reserved=["still mouth"])

import json
from pathlib import Path

import pytest

from moda.errors import DataError
from moda.evaluation.folders import (
    MadeClip,
    audio_file,
    find_generated,
    find_true,
    find_videos,
    parse_named_folders,
)
from moda.imaging.crop import Box


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
        find_true(tmp_path, split="test")


def test_seeds_are_samples_and_the_first_is_scored(tmp_path) -> None:
    for seed, names in ((10, ("a.mp4",)), (2, ("a.mp4", "b.mp4")), (3, ("a.mp4", "b.mp4"))):
        (tmp_path / f"seed_{seed}").mkdir()
        for name in names:
            (tmp_path / f"seed_{seed}" / name).touch()
    found = find_generated(tmp_path)
    assert {clip: paths[0].parent.name for clip, paths in found.videos.items()} == {"a": "seed_2", "b": "seed_2"}
    assert {clip: [path.parent.name for path in paths] for clip, paths in found.samples.items()} == {
        "a": ["seed_2", "seed_3", "seed_10"]  # b is not there with every seed
    }


def test_what_is_known_of_the_making(tmp_path) -> None:
    (tmp_path / "a.mp4").touch()
    record = {"clips": {"a": {"shown": [1, 2, 30], "real_time_factor": 0.5}}, "failed": {"b": "no audio"}}
    (tmp_path / "generation.json").write_text(json.dumps(record))
    found = find_generated(tmp_path)
    assert found.made == {"a": MadeClip(Box(1, 2, 30), 0.5)} and found.failed == {"b": "not generated: no audio"}
    for damaged in ("{}", "[1]", '{"clips": {"a": 1}, "failed": {}}', '{"clips": {"a": {"shown": [1]}}, "failed": {}}'):
        (tmp_path / "generation.json").write_text(damaged)
        with pytest.raises(DataError, match=r"generation\.json"):
            find_generated(tmp_path)


def test_the_sound_of_a_clip_store_is_beside_the_video(tmp_path) -> None:
    video = tmp_path / "video.mp4"
    (tmp_path / "audio.wav").touch()
    assert audio_file(video) == video
    (tmp_path / "clip.json").touch()
    assert audio_file(video) == tmp_path / "audio.wav"


def test_a_clip_store_is_a_folder_of_clips_whose_people_are_known(clip_store) -> None:
    found = find_true(clip_store.root)
    assert sorted(found.videos) == clip_store.ids
    assert found.identities == {clip_id: clip_store.clip(clip_id).identity for clip_id in clip_store.ids}
    assert list(find_true(clip_store.root, "val").videos) == [clip.id for clip in clip_store.split("val")]


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

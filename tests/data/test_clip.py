import json

import numpy as np
import pytest

from moda.data.clip import Clip, ClipStore
from moda.errors import DataError, OutputError
from moda.geometry import to_image
from moda.media.video import VideoReader, probe
from moda.representation import samples_at


def test_a_prepared_clip_is_consistent(clip_store):
    for clip in (clip_store.clip(clip_id) for clip_id in clip_store.ids):
        with VideoReader(clip.video_path) as video:
            assert len(video) == clip.frames == 75
            assert video[clip.frames - 1].shape == (clip_store.size, clip_store.size, 3)
        assert probe(clip.video_path).fps == 25.0
        assert clip.landmarks.shape == (75, 478, 3) and clip.landmarks.dtype == np.float32
        assert clip.tracked.dtype == bool and clip.tracked.all()
        assert clip.torso.shape == (75, 18, 3) and clip.subject.shape == (478, 3)
        assert len(clip.audio()) == samples_at(clip.frames)
        assert np.abs(clip.audio()).max() > 0.05
        for values in (clip.landmarks, clip.canonical, clip.torso, clip.subject, clip.pose.rotation, clip.pose.scale):
            assert np.isfinite(values).all()


def test_canonical_is_the_exact_inverse_under_the_stored_pose(clip_store):
    clip = clip_store.clip(clip_store.ids[0])
    back = to_image(clip.canonical.astype(np.float64), clip.pose)
    assert np.abs(back - clip.landmarks).max() < 1e-4


def test_splits_hold_every_clip_once_and_no_person_twice(clip_store):
    parts = {name: clip_store.split(name) for name in ("train", "val", "test")}
    assert sorted(clip.id for clips in parts.values() for clip in clips) == clip_store.ids
    assert len(parts["train"]) == len(parts["val"]) == 1
    assert parts["train"][0].identity != parts["val"][0].identity


def test_arrays_are_read_once_and_can_be_released(clip_store):
    clip = Clip.open(clip_store.root / "clips" / clip_store.ids[0])
    first = clip.landmarks
    assert clip.landmarks is first
    clip.release()
    assert clip.landmarks is not first
    np.testing.assert_array_equal(clip.landmarks, first)


def test_a_missing_store_clip_or_split_is_named(tmp_path, clip_store):
    with pytest.raises(DataError, match=r"no clip store at .*nowhere.*prepare\.py"):
        ClipStore.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no clip 'nobody'"):
        clip_store.clip("nobody")
    with pytest.raises(DataError, match="no split 'dev'"):
        clip_store.split("dev")


def test_another_format_or_rate_is_refused(tmp_path):
    ClipStore.create(tmp_path / "s", 64)
    path = tmp_path / "s" / "store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2, "fps": 30}))
    with pytest.raises(DataError, match=r"format 2, wanted 1; fps 30, wanted 25"):
        ClipStore.open(tmp_path / "s")


def test_creating_twice_keeps_the_store_but_not_another_size(tmp_path):
    ClipStore.create(tmp_path / "s", 64)
    assert ClipStore.create(tmp_path / "s", 64).size == 64
    with pytest.raises(DataError, match="has size 64, wanted 128"):
        ClipStore.create(tmp_path / "s", 128)


def test_a_file_in_the_way_is_an_output_error(tmp_path):
    (tmp_path / "s").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot make a clip store"):
        ClipStore.create(tmp_path / "s", 64)


def _fake(folder, **changes):
    folder.mkdir(parents=True)
    record = {"id": folder.name, "identity": "a", "frames": 3, "has_audio": False, "quality": {}, **changes}
    (folder / "clip.json").write_text(json.dumps(record))
    return folder


def test_a_silent_clip_says_so(tmp_path):
    clip = Clip.open(_fake(tmp_path / "c"))
    with pytest.raises(DataError, match="clip c has no sound"):
        clip.audio()


def test_broken_arrays_and_records_are_named(tmp_path):
    clip = Clip.open(_fake(tmp_path / "c"))
    (clip.folder / "track.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match=r"cannot read .*track\.npz"):
        _ = clip.landmarks
    np.savez(clip.folder / "track.npz", landmarks=np.zeros((2, 478, 3)), tracked=np.ones(2, bool))
    with pytest.raises(DataError, match=r"'landmarks' .* shape \(2, 478, 3\), wanted \(3, 478, 3\)"):
        _ = clip.landmarks
    with pytest.raises(DataError, match="not a clip's record"):
        Clip.open(_fake(tmp_path / "d", frames="many"))


def test_unfinished_and_hidden_folders_are_not_clips(tmp_path):
    store = ClipStore.create(tmp_path / "s", 64)
    _fake(tmp_path / "s" / "clips" / "whole")
    _fake(tmp_path / "s" / "clips" / ".half.tmp")
    (tmp_path / "s" / "clips" / "empty").mkdir()
    assert store.ids == ["whole"]

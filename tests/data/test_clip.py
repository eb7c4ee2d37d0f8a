import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from moda.data.clip import Clip
from moda.data.store import ClipStore
from moda.errors import DataError, OutputError
from moda.geometry import motion_targets, to_image
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


@pytest.fixture
def moving(tmp_path, write_moving_clip):
    return write_moving_clip(ClipStore.create(tmp_path / "moving", 64), "moving", 60)


def test_a_clip_holds_no_arrays_and_no_open_files(moving):
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    for _ in range(3):
        for name in ("landmarks", "tracked", "subject", "torso", "canonical"):
            assert np.isfinite(getattr(moving, name)).all()
        moving.motion(3, 9), moving.audio_between(0, 640), moving.moments(["eyes", "subject"]), moving.pose[4]
    assert open_files() == before
    assert len(pickle.dumps(moving)) < 3000


def test_a_stretch_of_motion_is_that_of_the_whole_clip(moving):
    whole = motion_targets(moving.canonical, moving.pose, moving.torso, moving.subject)
    for start, stop in ((17, 44), (0, 60), (59, 60), (0, 1)):
        part = moving.motion(start, stop)
        for name in ("lips", "eyes", "head", "torso"):
            assert getattr(part, name).dtype == np.float32
            np.testing.assert_allclose(getattr(part, name), getattr(whole, name)[start:stop], rtol=1e-5, atol=1e-5)
    local = motion_targets(*(values[17:44] for values in (moving.canonical, moving.pose, moving.torso)), moving.subject)
    assert np.abs(local.head - whole.head[17:44]).max() > 0.1, "the rest of a stretch is another one"


def test_canonical_of_some_frames(moving):
    frames = np.array([5, 50, 6])
    np.testing.assert_array_equal(moving.canonical_at(frames), moving.canonical[frames])
    given = moving.motion(20, 30, moving.canonical_at(slice(20, 30)))
    np.testing.assert_allclose(given.lips, moving.motion(20, 30).lips, rtol=1e-5, atol=1e-5)


def test_sound_is_read_by_samples_and_zero_beyond_the_clip(moving):
    whole = moving.audio()
    for start, stop in ((0, 640), (12345, 23456), (60 * 640 - 5, 60 * 640)):
        np.testing.assert_array_equal(moving.audio_between(start, stop), whole[start:stop])
    early, late = moving.audio_between(-100, 50), moving.audio_between(60 * 640 - 10, 60 * 640 + 30)
    assert (early[:100] == 0).all() and (late[10:] == 0).all()
    np.testing.assert_array_equal(early[100:], whole[:50])
    np.testing.assert_array_equal(late[:10], whole[-10:])
    assert (moving.audio_between(90 * 640, 91 * 640) == 0).all() and len(moving.audio_between(-9, -2)) == 7


def test_a_sound_of_another_kind_or_none_is_named(moving):
    soundfile.write(moving.audio_path, np.zeros(9000), 8000)
    with pytest.raises(DataError, match=r"audio\.wav has 1 channels at 8000 Hz, wanted 1 at 16000"):
        moving.audio_between(0, 640)
    moving.audio_path.write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"cannot read .*audio\.wav"):
        moving.audio_between(0, 640)
    moving.audio_path.unlink()
    with pytest.raises(DataError, match=r"cannot read .*audio\.wav"):
        moving.audio_between(0, 640)


def test_a_missing_store_clip_or_split_is_named(tmp_path, clip_store):
    with pytest.raises(DataError, match=r"no clip store at .*nowhere.*prepare"):
        ClipStore.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no clip 'nobody'"):
        clip_store.clip("nobody")
    with pytest.raises(DataError, match="no split 'dev'"):
        clip_store.split("dev")


def test_another_format_or_rate_is_refused(tmp_path):
    ClipStore.create(tmp_path / "s", 64)
    path = tmp_path / "s" / "store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1, "fps": 30}))
    with pytest.raises(DataError, match=r"format 1, wanted 2; fps 30, wanted 25.*; prepare it again"):
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
    for read in (clip.audio, lambda: clip.audio_between(0, 640)):
        with pytest.raises(DataError, match="clip c has no audio"):
            read()


def test_broken_arrays_and_records_are_named(tmp_path):
    clip = Clip.open(_fake(tmp_path / "c"))
    with pytest.raises(DataError, match=r"cannot read .*c/landmarks\.npy: .*prepare the clip again"):
        _ = clip.landmarks
    np.save(clip.folder / "landmarks.npy", np.zeros((2, 478, 3), np.float32))
    with pytest.raises(DataError, match=r"c/landmarks\.npy holds float32 \(2, 478, 3\), wanted float32 \(3, 478, 3\)"):
        _ = clip.landmarks
    with pytest.raises(DataError, match="not a clip's record"):
        Clip.open(_fake(tmp_path / "d", frames="many"))


def test_unfinished_and_hidden_folders_are_not_clips(tmp_path):
    store = ClipStore.create(tmp_path / "s", 64)
    _fake(tmp_path / "s" / "clips" / "whole")
    _fake(tmp_path / "s" / "clips" / ".half.tmp")
    (tmp_path / "s" / "clips" / "empty").mkdir()
    assert store.ids == ["whole"]

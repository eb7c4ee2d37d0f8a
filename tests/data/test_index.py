"""The store's index says what the clips say, and is not believed where they have changed."""

from __future__ import annotations

import json
import os
import shutil
import time

import numpy as np
import pytest

from moda.data import clip as clip_module
from moda.data import moments as stored
from moda.data.clip import Clip
from moda.data.fingerprint import clips_fingerprint
from moda.data.sequences import MotionSequences, window_batches
from moda.data.settings import SequenceConfig
from moda.data.statistics import clip_statistics
from moda.data.store import ClipStore
from moda.errors import DataError
from moda.files import write_json
from moda.moments import Moments
from moda.reading import read_arrays

GROUPS = ("lips", "eyes", "head", "torso", "face")
MANY = 10_000
START_CPU_SECONDS = 20.0
"""Four times the aim: the cores of a test machine are shared. Without an index and the quick reading it is above 30."""


@pytest.fixture
def store(tmp_path, write_moving_clip):
    store = ClipStore.create(tmp_path / "store", 64)
    for name, frames in (("a", 60), ("b", 90), ("c", 75)):
        (write_moving_clip(store, name, frames).folder / "video.mp4").write_bytes(os.urandom(100_000))
    path = store.root / "clips" / "a" / "clip.json"
    write_json(path, {**json.loads(path.read_text()), "offset": {"frames": 2.5, "settled": True}})
    store.write_splits({"train": ["a", "b"], "val": ["c"]})
    store.write_index()
    return ClipStore.open(store.root)


def test_a_clip_of_the_index_is_the_clip(store, monkeypatch):
    whole = [Clip.open(store.root / "clips" / name) for name in "abc"]
    wanted, fingerprint = [vars(clip) for clip in whole], clips_fingerprint(whole)
    statistics = clip_statistics(whole, audio=True)
    monkeypatch.setattr(clip_module, "read_json", None)
    monkeypatch.setattr(clip_module, "files_digest", None)
    clips = store.split("train") + store.split("val")
    for name in ("id", "identity", "frames", "has_audio", "quality", "offset", "folder"):
        assert [getattr(clip, name) for clip in clips] == [each[name] for each in wanted]
    assert clip_statistics(clips, audio=True) == statistics
    assert clips_fingerprint(clips) == fingerprint
    monkeypatch.undo()
    assert clips[0].record == whole[0].record


@pytest.mark.parametrize("file", ["clip.json", "tracked.npy", "video.mp4", "audio.wav", stored.FILE])
def test_what_was_written_after_the_index_is_read_itself(store, file):
    before = clips_fingerprint(store.split("train"))
    path = store.root / "clips" / "a" / file
    if file == "clip.json":
        write_json(path, {**json.loads(path.read_text()), "identity": "x"})  # of the same length
    else:
        data = bytearray(path.read_bytes())
        data[len(data) - 1] ^= 1
        path.write_bytes(data)
    later = time.time() + 1
    os.utime(path, (later, later))
    again = ClipStore.open(store.root)
    assert again.clip("a").identity == ("x" if file == "clip.json" else "a")
    assert clips_fingerprint(again.split("train")) != before


def test_a_file_of_another_length_is_read_itself_even_if_it_is_older(store):
    path = store.root / "clips" / "a" / "clip.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "identity": "somebody else"}))
    os.utime(path, (1, 1))
    assert ClipStore.open(store.root).clip("a").identity == "somebody else"
    path.unlink()
    with pytest.raises(DataError, match="no clip 'a'"):
        ClipStore.open(store.root).clip("a")


@pytest.mark.parametrize(
    "contents", ["", "{", "[]", '{"version": 2, "clips": {"a": {}}}', '{"version": 1, "clips": {"a": 3}}']
)
def test_a_damaged_index_is_none(store, contents):
    (store.root / "index.json").write_text(contents)
    assert ClipStore.open(store.root).clip("a").frames == 60


def test_moments_read_quickly_are_those_of_the_archive(store, tmp_path):
    folder = store.root / "clips" / "a"
    channels = {name: int(np.prod(stored.SHAPES[name])) for name in GROUPS}
    rows = {name: read_arrays(folder / stored.FILE, [name])[name] for name in GROUPS}
    quick = stored._read_plain(folder / stored.FILE, {name: len(row) for name, row in rows.items()})
    assert quick is not None and all((quick[name] == rows[name]).all() for name in GROUPS)
    scatter = stored.read_moments(folder, ["eyes"], 60)["eyes"].scatter
    upper = np.triu_indices(channels["eyes"])
    assert (scatter[upper] == rows["eyes"][1 + 2 * channels["eyes"] :]).all() and (scatter == scatter.T).all()
    data = bytearray((folder / stored.FILE).read_bytes())
    data[data.index(b"eyes.npy") + 2000] ^= 1  # in the values
    (folder / stored.FILE).write_bytes(data)
    with pytest.raises(DataError, match=r"moments\.npz"):
        stored.read_moments(folder, ["eyes"], 60)


def test_to_absorb_is_to_merge_to_the_last_bit():
    random = np.random.default_rng(0)
    parts = [Moments.of(random.normal(3, 2, (count, 7, 3)), scatter=True) for count in (0, 3, 50, 1, 70)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    total = parts[0]
    for part in parts[1:]:
        total = total.absorb(part)
    assert total.count == merged.count
    for name in ("mean", "squares", "scatter"):
        assert (getattr(total, name) == getattr(merged, name)).all()


def _many(root, store: ClipStore) -> ClipStore:
    """`MANY` clips, ten of each person, whose files are links to those of clip a."""
    many = ClipStore.create(root, store.size)
    source = store.clip("a")
    names = [path.name for path in source.folder.iterdir() if path.name != "clip.json"]
    ids = [f"c{number:05d}" for number in range(MANY)]
    for number, clip_id in enumerate(ids):
        folder = root / "clips" / clip_id
        folder.mkdir()
        for name in names:
            os.link(source.folder / name, folder / name)
        record = {**source.record, "id": clip_id, "identity": f"p{number // 10}"}
        (folder / "clip.json").write_text(json.dumps(record))
    many.write_splits({"train": ids[:-100], "val": ids[-100:]})
    many.write_index()
    return ClipStore.open(root)


def test_a_corpus_of_ten_thousand_clips_starts_in_seconds_and_keeps_no_memory_and_no_file(tmp_path, store):
    root = _many(tmp_path / "many", store).root
    began = time.process_time()
    train, val = MotionSequences.splits(SequenceConfig(store=root, lengths=(40,)))
    assert train.fingerprint() != val.fingerprint()
    assert train.moments(("lips", "eyes", "head", "torso"))["lips"].count == 60 * (MANY - 100)
    batches = window_batches(train, 32, 0)
    seconds = time.process_time() - began
    assert seconds < START_CPU_SECONDS, f"{MANY} clips start in {seconds:.1f} CPU seconds"
    for window in batches[0]:
        train[window]
    files, memory = len(os.listdir("/proc/self/fd")), _own_kilobytes()
    for batch in batches[1:21]:
        for window in batch:
            train[window]
    assert len(os.listdir("/proc/self/fd")) == files
    assert _own_kilobytes() - memory < 20_000
    shutil.rmtree(root)


def _own_kilobytes() -> int:
    """Memory of this process that is not a file's."""
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("RssAnon")).split()[1])

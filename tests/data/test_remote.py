"""A store behind an address gives what the store itself gives, each sample once an epoch, within a bounded folder."""

from __future__ import annotations

import os
import pickle
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from moda.config import parse
from moda.data import remote
from moda.data.frames import FramePairs
from moda.data.sequences import MotionSequences, window_batches
from moda.data.settings import SequenceConfig
from moda.data.store import ClipStore
from moda.errors import ConfigError, DataError
from moda.training.config import TrainConfig
from moda.training.loading import TrainingStream
from moda.training.runtime import Runtime
from tests.training.test_loading import Reading


@pytest.fixture
def far(tmp_path, monkeypatch, clip_store) -> Path:
    """A store that is read by its address only."""
    monkeypatch.setenv("MODA_STORE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(clip_store.root, tmp_path / "far")
    return tmp_path / "far"


def fetched(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}


def sequences(store: Path) -> tuple[MotionSequences, MotionSequences]:
    return MotionSequences.splits(SequenceConfig(store=store, lengths=(30,)))


def test_windows_statistics_and_fingerprint_are_those_of_the_store_and_only_what_is_read_is_fetched(far, tmp_path):
    (near, near_val), (train, val) = sequences(far), sequences(Path(f"file://{far}"))
    assert (train.fingerprint(), val.fingerprint()) == (near.fingerprint(), near_val.fingerprint())
    assert fetched(tmp_path) == {"store.json", "index.json", "train.txt", "val.txt", "test.txt"}
    groups = ("lips", "eyes")
    for name, wanted in near.moments(groups).items():
        assert np.array_equal(train.moments(groups)[name].mean, wanted.mean)
    assert "landmarks.npy" not in fetched(tmp_path)
    batches = window_batches(train, 2, 5)
    assert batches == window_batches(near, 2, 5)
    for window in batches[0]:
        assert all(torch.equal(value, near[window][name]) for name, value in train[window].items())
    assert "video.mp4" not in fetched(tmp_path)


class Numbered(FramePairs):
    def __getitem__(self, index):
        return super().__getitem__(index) | {"number": index}


@pytest.mark.parametrize("workers", [0, 1])
def test_two_processes_see_each_sample_once_an_epoch_and_go_on_in_the_middle_exactly(far, tmp_path, workers):
    tree = {"stage": "reading", "output": tmp_path, "device": "cpu", "trainer": {"steps": 1, "batch": 2}}
    tree["trainer"]["workers"] = workers
    config = parse(TrainConfig, tree, source="test")

    def data(root):
        store = ClipStore.open(root)
        return Numbered(store.split("train") + store.split("val"), size=64, warp=False, targets=1, train=True)

    def stream(root, index, **place):
        runtime = Runtime("cpu")
        runtime.count, runtime.index = 2, index
        return TrainingStream(Reading(), data(root), config, runtime, **place)

    url, samples = Path(f"file://{far}"), len(data(far))
    steps = samples // 4  # of two samples in each of two processes
    assert samples % 4 == 0 and steps >= 2
    seen = []
    for index in (0, 1):
        whole = list(islice(iter(stream(url, index)), 2 * steps))
        seen.append([batch["number"].tolist() for batch in whole])
        for here, there in zip(whole, islice(iter(stream(far, index)), 2 * steps), strict=True):
            assert all(torch.equal(value, there[name]) for name, value in here.items())
        before = stream(url, index)
        list(islice(iter(before), 1))
        shutil.rmtree(tmp_path / "cache")  # another machine goes on
        after = stream(url, index, epoch=before.epoch, position=before.position)
        for here, there in zip(islice(iter(after), 2 * steps - 1), whole[1:], strict=True):
            assert all(torch.equal(value, there[name]) for name, value in here.items())
    for epoch in (0, 1):
        numbers = [n for rank in seen for batch in rank[epoch * steps : (epoch + 1) * steps] for n in batch]
        assert sorted(numbers) == list(range(samples))


def test_what_was_read_longest_ago_makes_room(far, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "TOUCHED_SECONDS", 0.0)
    store = ClipStore.open(f"file://{far}")
    limit = 2 * sum(path.stat().st_size for path in (far / "clips").rglob("*")) // 3
    monkeypatch.setenv("MODA_STORE_CACHE_GB", str(limit / 1e9))
    store = ClipStore.open(f"file://{far}")
    names = [path.name for path in (far / "clips" / store.ids[0]).iterdir()]
    for clip_id in store.ids * 2:
        for name in names:
            assert store.clip(clip_id).file(name).read_bytes() == (far / "clips" / clip_id / name).read_bytes()
            total = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
            assert total <= 1.01 * limit
    recent = store.clip(store.ids[0]).file("subject.npy")
    os.utime(recent, (1, 1))
    monkeypatch.setattr(remote, "TOUCHED_SECONDS", 60.0)
    remote.make_room(tmp_path / "cache", 1.0)
    assert not recent.exists() and "landmarks.npy" in fetched(tmp_path)  # that was read a moment ago stays


def test_a_store_that_was_prepared_again_is_not_taken_for_what_was_fetched(far):
    before = ClipStore.open(f"file://{far}")
    before.clip(before.ids[0]).file("tracked.npy")
    (far / "clips" / before.ids[0] / "tracked.npy").unlink()
    local = ClipStore.open(far)
    local.write_index()
    after = ClipStore.open(f"file://{far}")
    assert after.root != before.root
    with pytest.raises(DataError, match=r"cannot fetch file://.*tracked\.npy: no such file"):
        _ = after.clip(before.ids[0]).tracked
    assert len(pickle.loads(pickle.dumps(before.clip(before.ids[0]))).tracked) > 1


def test_what_is_wrong_with_an_address_is_said(far, monkeypatch):
    (far / "index.json").unlink()
    with pytest.raises(DataError, match=r"cannot fetch file://.*index\.json: no such file; wanted a store"):
        ClipStore.open(Path(f"file://{far}"))
    with pytest.raises(DataError, match=r"cannot fetch nonsense://bucket/index\.json"):
        ClipStore.open("nonsense://bucket")
    monkeypatch.setenv("MODA_STORE_CACHE_GB", "much")
    with pytest.raises(ConfigError, match="MODA_STORE_CACHE_GB is 'much'"):
        ClipStore.open("s3://bucket/store")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("s3://bucket/a/store/", "s3://bucket/a/store"),
        ("file:///data/store", "file:///data/store"),
        ("https://host/store", "https://host/store"),
        ("/data/s3/store", None),
        ("data/store", None),
        ("C:/store", None),
    ],
)
def test_an_address_survives_being_a_path(given, wanted):
    assert remote.address(given) == remote.address(Path(given)) == wanted

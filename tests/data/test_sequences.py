"""Windows of motion and audio, over clips written here: what is in them is known frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from moda.config import parse
from moda.data.augmentation import augment_audio
from moda.data.clip import Clip
from moda.data.sequences import (
    MotionSequences,
    SequenceConfig,
    Window,
    clip_weights,
    collate_by_length,
    window_batches,
)
from moda.data.settings import AudioAugmentation
from moda.data.store import ClipStore
from moda.errors import ConfigError, DataError
from moda.landmarks import LIPS
from moda.representation import SAMPLE_RATE

QUIET = AudioAugmentation(gain_db=0, noise=0)


@pytest.fixture
def store(tmp_path: Path, write_known_clip: Callable[..., Clip]) -> ClipStore:
    made = ClipStore.create(tmp_path / "store", 128)
    for number in range(9):
        write_known_clip(made, f"many{number}", "many", 40)
    write_known_clip(made, "few", "few", 40)
    write_known_clip(made, "long", "few2", 100)
    write_known_clip(made, "silent", "mute", 60, audio=False)
    write_known_clip(made, "val_a", "val", 95)
    write_known_clip(made, "val_b", "val", 30)
    made.write_splits({"train": [f"many{i}" for i in range(9)] + ["few", "long", "silent"], "val": ["val_a", "val_b"]})
    return made


def config(store: ClipStore, lengths: tuple[int, ...] = (20, 80)) -> SequenceConfig:
    return SequenceConfig(store=store.root, lengths=lengths, subject_mix=0.0, augment=QUIET)


def test_an_item_is_one_stretch_of_everything(store: ClipStore) -> None:
    train, _ = MotionSequences.splits(config(store))
    windows = window_batches(train, batch=1, seed=3)[0]
    for window in windows:
        item = train[window]
        frames = np.arange(window.start, window.start + window.length)
        np.testing.assert_allclose(item["lips"][:, 5, 0], frames, atol=1e-3)
        np.testing.assert_array_equal(item["tracked"], frames % 10 != 9)
        clip = train.clips[window.clip]
        ramp = np.linspace(0, 0.9, clip.frames * 640)
        assert item["wave"].shape == (640 * window.length,)
        np.testing.assert_allclose(item["wave"], ramp[window.start * 640 :][: 640 * window.length], atol=1e-3)
        assert item["eyes"].shape == (window.length, 60, 3)
        assert item["head"].shape == (window.length, 7)
        assert item["torso"].shape == (window.length, 18, 3)
        np.testing.assert_array_equal(item["subject"], clip.subject)


def test_a_batch_has_one_length_and_about_the_same_frames(store: ClipStore) -> None:
    train, _ = MotionSequences.splits(config(store))
    seen = set()
    for epoch in range(12):
        for batch in window_batches(train, batch=2, seed=epoch):
            (length,) = {window.length for window in batch}
            assert length * len(batch) == 160
            for window in batch:
                assert 0 <= window.start <= train.clips[window.clip].frames - length
            seen.add(length)
    assert seen == {20, 80}


def test_batches_depend_on_the_seed_alone(store: ClipStore) -> None:
    train, _ = MotionSequences.splits(config(store))
    assert window_batches(train, 2, 7) == window_batches(train, 2, 7)
    assert window_batches(train, 2, 7) != window_batches(train, 2, 8)


def test_an_identity_counts_by_the_root_of_its_footage(store: ClipStore) -> None:
    clips = store.split("train")
    weights = clip_weights(clips, 20)
    by_identity: dict[str, float] = {}
    for number, weight in weights.items():
        by_identity[clips[number].identity] = by_identity.get(clips[number].identity, 0) + weight
    assert by_identity["many"] / by_identity["few"] == pytest.approx(3.0)  # nine times the footage
    assert set(clip_weights(clips, 80)) == {10}, "only the long clip holds a long window"


def test_drawn_windows_follow_the_weights(store: ClipStore) -> None:
    train, _ = MotionSequences.splits(config(store, (20,)))
    drawn = [
        train.clips[w.clip].identity for seed in range(150) for batch in window_batches(train, 1, seed) for w in batch
    ]
    share = drawn.count("many") / drawn.count("few")
    assert 2.5 < share < 3.5


def test_clips_without_sound_serve_only_where_none_is_wanted(store: ClipStore) -> None:
    assert "silent" not in [clip.id for clip in MotionSequences.splits(config(store))[0].clips]
    train, _ = MotionSequences.splits(config(store), audio=False, face=True)
    assert "silent" in [clip.id for clip in train.clips]
    item = train[window_batches(train, 1, 0)[0][0]]
    assert "wave" not in item
    np.testing.assert_array_equal(item["face"][:, list(LIPS)], item["lips"])


def test_validation_covers_each_clip_in_fixed_windows(store: ClipStore) -> None:
    _, val = MotionSequences.splits(config(store, (40, 90)))
    assert [(val.clips[w.clip].id, w.start, w.length) for w in val.windows] == [("val_a", 0, 90), ("val_b", 0, 30)]
    batches = collate_by_length([val[i] for i in range(len(val))])
    assert [batch["lips"].shape[:2] for batch in batches] == [(1, 90), (1, 30)]
    _, val = MotionSequences.splits(config(store, (30,)))
    assert [(w.clip, w.start) for w in val.windows] == [(0, 0), (0, 30), (0, 60), (1, 0)]


def test_short_clips_are_named_and_left_out(store: ClipStore, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        train, _ = MotionSequences.splits(config(store, (50,)))
    assert [clip.id for clip in train.clips] == ["long"]
    assert "clip few has 40 frames" in caplog.text
    with pytest.raises(DataError, match=r"no usable clip in the 'train' split .* 12 listed, wanted one of 200 frames"):
        MotionSequences.splits(config(store, (200,)))


def test_values_that_are_not_finite_name_the_clip(store: ClipStore) -> None:
    path = store.clip("long").folder / "landmarks.npy"
    broken = np.load(path)
    broken[50, LIPS[0]] = np.nan
    np.save(path, broken)  # as a damaged disk would: write_array refuses it
    train, _ = MotionSequences.splits(config(store, (40,)))
    number = [clip.id for clip in train.clips].index("long")
    assert np.isfinite(train[Window(number, 0, 40, 0)]["lips"]).all()
    with pytest.raises(DataError, match="clip long: 'lips' is not finite"):
        train[Window(number, 20, 40, 0)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_give_what_one_process_gives(store: ClipStore, method: str) -> None:
    train, _ = MotionSequences.splits(config(store))
    batches = [batch for epoch in range(2) for batch in window_batches(train, 1, epoch)]
    here = [collate_by_length([train[window] for window in batch])[0] for batch in batches]
    loader = DataLoader(
        train, batch_sampler=batches, num_workers=2, collate_fn=collate_by_length, multiprocessing_context=method
    )
    for wanted, (found,) in zip(here, loader, strict=True):
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_windows_in_any_order_are_the_same(store: ClipStore, write_moving_clip: Callable[..., Clip]) -> None:
    write_moving_clip(store, "moving", 90)
    store.write_splits({"train": ["moving", "long"], "val": ["val_a"]})
    train, _ = MotionSequences.splits(config(store), audio=True, face=True)
    windows = [Window(clip, start, 20, 0) for clip in (0, 1) for start in range(0, 70, 7)]
    in_order = {window: train[window] for window in windows}
    for window in np.random.default_rng(0).permutation(len(windows)):
        again = train[windows[window]]
        assert all(torch.equal(again[name], values) for name, values in in_order[windows[window]].items())
    whole = train[Window(0, 0, 90, 0)]
    for window in windows[:10]:
        for name in ("lips", "head", "torso", "face", "tracked"):
            part = whole[name][window.start : window.start + 20]
            torch.testing.assert_close(in_order[window][name], part, rtol=1e-5, atol=1e-4)


def test_a_window_reads_its_own_files_only(store: ClipStore) -> None:
    """Start-up and statistics need no footage: landmarks of a clip that no window comes from may be missing."""
    for clip_id in ("few", "many0"):
        (store.clip(clip_id).folder / "landmarks.npy").unlink()
        (store.clip(clip_id).folder / "audio.wav").unlink()
    train, _ = MotionSequences.splits(config(store))
    assert train.moments(["lips"])["lips"].count == sum(clip.frames for clip in train.clips)
    number = [clip.id for clip in train.clips].index("long")
    assert train[Window(number, 0, 80, 0)]["lips"].shape == (80, 40, 3)


def test_subjects_are_mixed_in_training_only(store: ClipStore) -> None:
    mixing = SequenceConfig(store=store.root, lengths=(20,), subject_mix=0.5, augment=QUIET)
    train, val = MotionSequences.splits(mixing)
    windows = [w for batch in window_batches(train, 2, 0) for w in batch]
    moved = [float(np.abs(train[w]["subject"] - train.clips[w.clip].subject).max()) for w in windows]
    assert max(moved) > 1.0
    first = train[windows[0]]["subject"]
    np.testing.assert_array_equal(first, train[windows[0]]["subject"], "the window's seed decides")
    np.testing.assert_array_equal(val[0]["subject"], val.clips[0].subject)


def test_noise_is_laid_at_its_ratio() -> None:
    wave = (0.2 * np.sin(np.arange(SAMPLE_RATE) / 5)).astype(np.float32)
    for seed in range(20):
        noisy = augment_audio(wave, AudioAugmentation(gain_db=0, noise=1, snr_db=(20, 20)), np.random.default_rng(seed))
        ratio = 10 * np.log10(np.mean(wave**2) / np.mean((noisy - wave) ** 2))
        assert ratio == pytest.approx(20, abs=0.2)
    assert np.isfinite(augment_audio(0 * wave, AudioAugmentation(noise=1), np.random.default_rng(0))).all()


def test_gain_changes_loudness_alone() -> None:
    wave = (0.1 * np.sin(np.arange(SAMPLE_RATE) / 5)).astype(np.float32)
    gains = []
    for seed in range(30):
        louder = augment_audio(wave, AudioAugmentation(gain_db=6, noise=0), np.random.default_rng(seed))
        gain = float(louder @ wave / (wave @ wave))
        np.testing.assert_allclose(louder, gain * wave, atol=1e-5)
        gains.append(20 * np.log10(gain))
    assert -6 <= min(gains) < -3 and 3 < max(gains) <= 6


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.lenghts.*did you mean 'lengths'"):
        parse(SequenceConfig, {"store": "x", "lenghts": [75]}, source="x.yaml", section="data")


def test_a_training_set_has_windows_by_number_too(store: ClipStore) -> None:
    """Where nothing is validated on, previews and dry runs look at the training set."""
    train, _ = MotionSequences.splits(config(store))
    assert [len(train[number]["lips"]) for number in range(len(train))] == [20] * len(train) and len(train) > 4
    with pytest.raises(IndexError):
        train[len(train)]

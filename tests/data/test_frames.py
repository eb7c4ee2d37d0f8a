"""Frame pairs for the renderer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from moda.data.clip import Clip
from moda.data.frames import TARGET_SPAN_FRAMES, FramePairs, FramesInOrder
from moda.data.parts import Part
from moda.data.store import ClipStore
from moda.errors import DataError
from moda.landmarks import lip_opening
from moda.media.video import VideoReader
from tests.blinking_clips import write_blinking_clip
from tests.talking_clips import write_talking_clip


@pytest.mark.parametrize("warp", [True, False])
def test_items_have_the_renderers_inputs(clip_store: ClipStore, warp: bool) -> None:
    pairs = FramePairs(clip_store.split("train"), size=128, warp=warp, targets=3, train=True)
    np.random.seed(0)
    item = pairs[0]
    side = 48 if warp else 128
    assert item["condition"].shape == item["reference"].shape == item["target"].shape == (3, 3, side, side)
    assert item["target"].dtype == torch.uint8
    assert item["frame"].shape == (3,)
    assert ("warped" in item) == warp
    if warp:
        assert item["region"].shape == item["validity"].shape == (3, 1, side, side)
        assert float(item["region"].min()) >= 0 and float(item["region"].max()) <= 1 + 1e-6
    assert item["condition"].float().std() > 5, "something is drawn"


def test_the_warp_is_closer_to_the_truth_than_the_reference(clip_store: ClipStore) -> None:
    pairs = FramePairs(clip_store.split("train"), size=128, warp=True, targets=4, train=False)
    items = [pairs[i] for i in range(len(pairs))]
    warped, still = (
        np.mean([(item[name].float() - item["target"].float()).abs().mean() for item in items])
        for name in ("warped", "reference")
    )
    assert warped < still


def test_validation_items_are_always_the_same_and_training_items_follow_the_seed(clip_store: ClipStore) -> None:
    held_out = FramePairs(clip_store.split("val"), size=128, warp=True, targets=2, train=False)
    assert torch.equal(held_out[1]["target"], held_out[1]["target"])
    training = FramePairs(clip_store.split("train"), size=128, warp=True, targets=2, train=True, colour=0.2)
    drawn = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        drawn.append(training[0])
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    assert not torch.equal(drawn[0]["target"], drawn[2]["target"])


def test_the_light_changes_reference_warp_and_truth_alike(clip_store: ClipStore) -> None:
    clips = clip_store.split("train")
    plain = FramePairs(clips, size=128, warp=True, targets=2, train=True)
    shaded = FramePairs(clips, size=128, warp=True, targets=2, train=True, colour=0.5)
    means = []
    for pairs in (plain, shaded):
        np.random.seed(5)
        item = pairs[0]
        means.append([float(item[name].float().mean()) for name in ("reference", "warped", "target")])
    ratios = np.array(means[1]) / np.array(means[0])
    assert abs(ratios[0] - 1) > 0.02, "the light did change"
    assert np.ptp(ratios) < 0.1 * abs(ratios[0] - 1) + 0.05


def test_no_clips_are_refused() -> None:
    with pytest.raises(DataError, match="no clips"):
        FramePairs([], size=128, warp=True, targets=2, train=True)


def test_a_person_counts_by_the_root_of_his_footage(tmp_path: Path, write_known_clip: Callable[..., Clip]) -> None:
    store = ClipStore.create(tmp_path / "store", 128)
    clips = [write_known_clip(store, name, name[0], frames) for name, frames in (("a", 100), ("b0", 300), ("b1", 100))]
    few, many, both = (
        len(FramePairs(of, size=64, warp=True, targets=2, train=True)) for of in (clips[:1], clips[1:], clips)
    )
    assert (few, many, both) == (5, 10, 15)


def test_open_mouths_are_drawn_more_often_where_there_is_a_warp(tmp_path: Path) -> None:
    store = ClipStore.create(tmp_path / "store", 128)
    write_talking_clip(store, "talk", 400, seed=1)
    clip, frames = store.clip("talk"), np.arange(400)
    opening = lip_opening(clip.canonical)
    means = []
    for warp in (True, False):
        pairs = FramePairs([clip], size=64, warp=warp, targets=2, train=True)
        starts = [pairs._start(clip, frames, np.random.default_rng(seed)) for seed in range(150)]
        assert max(starts) <= 400 - TARGET_SPAN_FRAMES
        means.append(np.mean([opening[start : start + TARGET_SPAN_FRAMES].mean() for start in starts]))
    spread = np.std([opening[start : start + TARGET_SPAN_FRAMES].mean() for start in range(400 - TARGET_SPAN_FRAMES)])
    assert means[0] > opening.mean() + 0.6 * spread  # the largest of three normal draws lies 0.85 above their mean
    assert abs(means[1] - opening.mean()) < 0.3 * spread


def test_closed_eyes_are_drawn_more_often_where_the_eyes_are_refined(tmp_path: Path) -> None:
    """As targets, and as references; without eyes no oftener than they are."""
    store = ClipStore.create(tmp_path / "store", 128)
    write_blinking_clip(store, "blinks", "a", 600, range(50, 600, 120))
    clip = store.clip("blinks")
    part = Part.whole(clip)
    shares = {}
    for eyes in (True, False):
        pairs = FramePairs([clip], size=64, warp=True, targets=2, train=True, eyes=eyes)
        closed = pairs._eyes_closed(clip)
        assert 0.01 < len(closed) / 600 < 0.05
        rng = np.random.default_rng(0)
        near = np.mean([np.isin(pairs._near(part, rng), closed).mean() for _ in range(200)])
        references = np.isin([pairs._reference(part, rng) for _ in range(400)], closed).mean()
        shares[eyes] = near, references
    assert shares[True][0] > 0.15 and shares[True][1] > 0.12
    assert max(shares[False]) < 0.08


def numbered(index: int) -> np.ndarray:
    """A picture that says its number: eight stripes, white where the bit is set."""
    bits = (index >> np.arange(8)) & 1
    return np.repeat(np.repeat(255 * bits.astype(np.uint8), 8)[None, :, None], 64, axis=0).repeat(3, axis=2)


def number_of(picture: np.ndarray) -> int:
    return int(((picture[:, :, 0].reshape(64, 8, 8).mean(axis=(0, 2)) > 127) << np.arange(8)).sum())


def test_frames_in_any_order_are_the_same(clip_store: ClipStore) -> None:
    pairs = FramePairs(clip_store.split("val"), size=128, warp=False, targets=2, train=False)
    in_order = [pairs[index] for index in range(len(pairs))]
    for index in np.random.default_rng(0).permutation(len(pairs)):
        again = pairs[int(index)]
        assert all(torch.equal(again[name], in_order[index][name]) for name in again)


@pytest.mark.parametrize("train", [True, False])
def test_a_targets_number_is_that_of_its_picture(clip_store: ClipStore, train: bool) -> None:
    """What tells the renderer the time: 0 is the clip's first frame, as it is the video's at inference."""
    (clip,) = clip_store.split("train" if train else "val")
    pairs = FramePairs([clip], size=128, warp=False, targets=3, train=train)
    np.random.seed(0)
    item = pairs[0]
    with VideoReader(clip.video_path) as video:
        pictures = torch.stack([torch.from_numpy(video[int(number)]).permute(2, 0, 1) for number in item["frame"]])
    assert torch.equal(item["target"], pictures)


def test_parts_give_targets_and_references_of_their_own_ranges(clip_store: ClipStore) -> None:
    (clip,) = clip_store.split("train")
    part = Part(clip, range(40, clip.frames), range(5, 15))
    pairs = FramePairs([part], size=128, warp=False, targets=3, train=True)
    with VideoReader(clip.video_path) as video:
        references = [torch.from_numpy(video[t]).permute(2, 0, 1) for t in range(5, 15)]
    for seed in range(8):
        np.random.seed(seed)
        item = pairs[0]
        assert item["frame"].min() >= 40
        assert any(torch.equal(item["reference"][0], picture) for picture in references)


def test_frames_in_order_go_through_all_of_a_part(clip_store: ClipStore) -> None:
    (clip,) = clip_store.split("train")
    parts = [Part(clip, range(40, clip.frames), range(30)), Part(clip, range(3), range(30))]
    items = FramesInOrder(parts, size=128, warp=False, targets=3)
    assert len(items) == (clip.frames - 40) // TARGET_SPAN_FRAMES + 1
    frames = [items[i]["frame"].tolist() for i in range(len(items))]
    assert frames[0][0] == 40 and frames[-2][-1] == clip.frames - 1 and frames[-1] == [0, 1, 2]
    in_order = np.concatenate(frames[:-1])
    assert (np.diff(in_order) > 0).all()
    assert torch.equal(items[1]["reference"], items[1]["reference"])


def test_items_are_the_same_with_frames_kept_in_memory(clip_store: ClipStore) -> None:
    settings = {"size": 128, "warp": True, "targets": 3, "train": True, "colour": 0.2}
    plain, kept = (FramePairs(clip_store.split("train"), **settings, cache_gb=gb) for gb in (0.0, 0.1))
    for seed in (1, 1, 2):
        np.random.seed(seed)
        expected = plain[0]
        np.random.seed(seed)
        item = kept[0]
        assert all(torch.equal(item[name], expected[name]) for name in expected)


def test_a_kept_frame_is_not_decoded_again(clip_store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_store.split("train")[0]
    pairs = FramePairs([clip], size=128, warp=False, targets=1, train=True, cache_gb=0.1)
    expected = {index: frame.copy() for index, frame in pairs._frames(clip, {3, 5}).items()}

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(VideoReader, "__getitem__", refuse)
    found = pairs._frames(clip, {3, 5})
    assert all(np.array_equal(found[index], expected[index]) for index in (3, 5))
    with pytest.raises(AssertionError, match="decoded again"):
        pairs._frames(clip, {4})


def test_frames_of_a_clip_come_in_the_order_of_time(clip_store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    decode = VideoReader.__getitem__
    monkeypatch.setattr(VideoReader, "__getitem__", lambda self, index: (read.append(index), decode(self, index))[1])
    pairs = FramePairs(clip_store.split("train"), size=128, warp=True, targets=3, train=False)
    pairs[0]
    assert len(read) > 1 and read == sorted(set(read))

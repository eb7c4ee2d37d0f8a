"""Frame pairs for the renderer."""

import numpy as np
import pytest
import torch

from moda.data.clip import ClipStore
from moda.data.frames import FramePairs
from moda.errors import DataError


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

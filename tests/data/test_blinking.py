"""Blinks of clips, over clips written here: when they happen is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from moda.data.blinking import MAX_BLINKS_A_PERSON, PRIOR_FRAMES, BlinkingSequences, clip_opening
from moda.data.sequences import SequenceConfig, Window
from moda.data.settings import AudioAugmentation
from moda.data.store import ClipStore
from moda.landmarks import EYES, eye_opening
from tests.blinking_clips import BROW, CLOSURE, blinking, mesh, write_blinking_clip

FRAMES = 400


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    made = ClipStore.create(tmp_path / "store", 128)
    write_blinking_clip(made, "a0", "a", FRAMES, [50, 120, 200])
    write_blinking_clip(made, "a1", "a", FRAMES, range(20, 380, 14), size=1.3)
    write_blinking_clip(made, "b", "b", FRAMES, [], size=0.8)
    write_blinking_clip(made, "c", "c", FRAMES, [90])
    made.write_splits({"train": ["a0", "a1", "b"], "val": ["c"]})
    return made


def sets(store: ClipStore) -> tuple[BlinkingSequences, BlinkingSequences]:
    config = SequenceConfig(
        store=store.root, lengths=(100,), subject_mix=0.0, augment=AudioAugmentation(gain_db=0, noise=0)
    )
    train, val = BlinkingSequences.splits(config)
    assert isinstance(train, BlinkingSequences) and isinstance(val, BlinkingSequences)
    return train, val


def test_the_head_does_not_change_the_opening(store: ClipStore) -> None:
    clip = store.clip("a0")
    found = clip_opening(clip)
    np.testing.assert_allclose(found, eye_opening(blinking(FRAMES, [50, 120, 200])), rtol=1e-3)


def test_items_hold_open_eyes_and_when_blinks_start(store: ClipStore) -> None:
    train, _ = sets(store)
    item = train[Window(0, 100, 120, 0)]
    assert np.flatnonzero(item["onsets"]).tolist() == [20, 100]  # 120 and 200 in the clip
    eyes, open_eyes = item["eyes"].numpy(), item["open_eyes"].numpy()
    assert np.abs(eyes).max() > 5 and np.abs(open_eyes).max() < 0.05
    far = np.r_[0:15, 32:95, 112:120]
    np.testing.assert_array_equal(eyes[far], open_eyes[far])


def test_a_window_that_begins_in_a_blink_has_it_taken_out_too(store: ClipStore) -> None:
    train, _ = sets(store)
    item = train[Window(0, 52, 100, 0)]
    assert np.flatnonzero(item["onsets"]).tolist() == [68]
    assert np.abs(item["eyes"][0]).max() > 5 and np.abs(item["open_eyes"]).max() < 0.05


def test_validation_items_hold_them_as_well(store: ClipStore) -> None:
    _, val = sets(store)
    assert [int(val[i]["onsets"].sum()) for i in range(len(val))] == [1, 0, 0, 0]


def test_rates_are_of_people(store: ClipStore) -> None:
    train, _ = sets(store)
    often = (3 + 26) / (2 * FRAMES)
    assert train.mean_rate == pytest.approx((often + 0) / 2)
    shrunk = (29 + train.mean_rate * PRIOR_FRAMES) / (2 * FRAMES + PRIOR_FRAMES)
    assert train[Window(1, 0, 100, 0)]["usual_rate"].item() == pytest.approx(shrunk)
    assert train.usual_rates["b"] == pytest.approx(train.mean_rate * PRIOR_FRAMES / (FRAMES + PRIOR_FRAMES))


def test_blinks_are_measured_as_they_were_made(store: ClipStore) -> None:
    train, _ = sets(store)
    samples = train.blink_samples()
    assert len(samples) == MAX_BLINKS_A_PERSON
    for sample in samples:
        assert sample.depth == pytest.approx(CLOSURE.max(), abs=0.01)
        assert 0.12 < sample.seconds < 0.2
    size = 1.3
    last = samples[-1]  # the larger face's
    np.testing.assert_allclose(last.eyes, mesh(size)[list(EYES)], atol=0.05)
    brow, lid, lower = EYES.index(107), EYES.index(386), EYES.index(374)
    assert last.change[brow, 1] == pytest.approx(BROW * size, abs=0.02)
    np.testing.assert_allclose(last.change[lid], CLOSURE.max() * (last.eyes[lower] - last.eyes[lid]), atol=0.05)
    assert np.abs(last.change[lower]).max() < 0.05


def test_blinks_that_touch_another_or_the_clips_end_are_not_measured(store: ClipStore, tmp_path: Path) -> None:
    write_blinking_clip(store, "d", "d", FRAMES, [1, 100, 107, 200, 393])
    store.write_splits({"train": ["d"], "val": ["c"]})
    train, _ = sets(store)
    assert len(train.blinks[0]) >= 4
    (sample,) = train.blink_samples()  # that at 200
    assert sample.depth == pytest.approx(CLOSURE.max(), abs=0.01)

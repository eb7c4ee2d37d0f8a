"""Held out by time: what is trained on comes before what is measured."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moda.data.clip import Clip
from moda.data.moments import clip_moments
from moda.data.parts import GAP_FRAMES, MIN_PART_FRAMES, ClipPart, Part, divided, hold_out_end
from moda.data.store import ClipStore
from moda.errors import DataError


def clip(name: str, frames: int) -> Clip:
    return Clip(Path(name), {"id": name, "identity": "me", "frames": frames, "has_audio": False})


def test_one_shot_is_cut_in_time_with_a_second_between() -> None:
    train, end = hold_out_end([clip("a", 1000)], 0.2)
    assert [(part.clip.id, part.targets) for part in train] == [("a", range(800 - GAP_FRAMES))]
    assert [(part.clip.id, part.targets) for part in end] == [("a", range(800, 1000))]
    assert train[0].references == end[0].references == train[0].targets, "references are from what is trained on"


def test_of_several_shots_the_end_is_that_of_the_video() -> None:
    shots = [clip("a", 300), clip("b", 500), clip("c", 150), clip("d", 50)]
    train, end = hold_out_end(shots, 0.3)
    assert [(part.clip.id, part.targets) for part in train] == [("a", range(300)), ("b", range(400 - GAP_FRAMES))]
    assert [(part.clip.id, part.targets) for part in end] == [
        ("b", range(400, 500)),
        ("c", range(150)),
        ("d", range(50)),
    ]
    assert [part.references for part in end] == [range(400 - GAP_FRAMES), range(150), range(50)]


@pytest.mark.parametrize("share", [0.15, 0.18, 0.5])
def test_nothing_held_out_is_trained_on_and_shares_hold(share: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        lengths = [600, *random.integers(60, 900, size=int(random.integers(5)))]
        shots = [clip(str(number), int(length)) for number, length in enumerate(lengths)]
        total = sum(shot.frames for shot in shots)
        starts = dict(zip([shot.id for shot in shots], np.cumsum([0, *(s.frames for s in shots)]), strict=False))
        train, end = hold_out_end(shots, share)

        def times(parts: list[Part], starts: dict[str, int] = starts) -> np.ndarray:
            return np.concatenate([starts[part.clip.id] + np.array(part.targets) for part in parts])

        assert times(train).max() + GAP_FRAMES < times(end).min()
        assert abs(len(times(end)) - share * total) <= MIN_PART_FRAMES
        assert len(times(train)) >= (1 - share) * total - GAP_FRAMES - 2 * MIN_PART_FRAMES


def test_too_little_is_refused() -> None:
    with pytest.raises(DataError, match=r"3 s of video are too little to hold out the last 20% of it \(0.6 s\)"):
        hold_out_end([clip("a", 75)], 0.2)


def anything(clip: Clip) -> bool:
    return True


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return ClipStore.create(tmp_path / "store", 128)


def test_a_part_of_a_clip_is_a_clip_of_its_own(store: ClipStore, write_moving_clip: Callable[..., Clip]) -> None:
    whole = write_moving_clip(store, "may", 120)
    part = ClipPart(whole, range(40, 100))
    assert (part.id, part.identity, len(part)) == ("may", "may", 60)
    for name in ("landmarks", "tracked", "torso"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[40:100])
    np.testing.assert_array_equal(part.pose.rotation, whole.pose.rotation[40:100])
    np.testing.assert_array_equal(part.subject, whole.subject)
    np.testing.assert_array_equal(part.canonical_at(slice(0, 9)), whole.canonical_at(slice(40, 49)))
    np.testing.assert_array_equal(part.audio(), whole.audio()[40 * 640 : 100 * 640])
    np.testing.assert_array_equal(part.audio_between(640, 1280), whole.audio_between(41 * 640, 42 * 640))
    own = clip_moments(part.landmarks, part.pose, part.torso, part.subject)
    np.testing.assert_array_equal(part.rest.torso, own.rest.torso)
    found = part.moments(["lips", "torso", "subject"])
    assert found["lips"].count == 60 and found["subject"].count == 1
    np.testing.assert_array_equal(found["torso"].mean, own.groups["torso"].mean)
    np.testing.assert_allclose(part.motion().torso.mean(axis=0), found["torso"].mean, atol=1e-4)


def shown(clips: list[Clip]) -> list[tuple[str, int, int]]:
    """Id, first and last frame of clips or parts of them."""
    firsts = [clip.first if isinstance(clip, ClipPart) else 0 for clip in clips]
    return [(clip.id, first, first + clip.frames) for clip, first in zip(clips, firsts, strict=True)]


def test_one_person_is_divided_by_time(
    store: ClipStore, write_known_clip: Callable[..., Clip], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="moda")
    write_known_clip(store, "first", "may", 300)
    write_known_clip(store, "second", "may", 200)
    store.write_splits({"train": ["first", "second"]})
    train, val = divided(store, trains=anything, validates=anything)
    assert shown(train) == [("first", 0, 300), ("second", 0, 110 - GAP_FRAMES)]
    assert shown(val) == [("second", 110, 200)]
    assert "is empty, and 'train' is one person: the last 3.6 s are held out for validation, 18 %" in caplog.text
    assert "trained on: 15.4 s, a second before them left out" in caplog.text


def test_little_of_one_person_gives_two_seconds(store: ClipStore, write_known_clip: Callable[..., Clip]) -> None:
    write_known_clip(store, "may", "may", 150)
    store.write_splits({"train": ["may"]})
    train, val = divided(store, trains=anything, validates=anything)
    assert (shown(train), shown(val)) == ([("may", 0, 75)], [("may", 100, 150)])


def test_of_several_people_all_are_trained_on_and_that_is_said(
    store: ClipStore, write_known_clip: Callable[..., Clip], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("may", "june"):
        write_known_clip(store, name, name, 300)
    store.write_splits({"train": ["may", "june"]})
    train, val = divided(store, trains=anything, validates=anything)
    assert (shown(train), val) == ([("may", 0, 300), ("june", 0, 300)], [])
    assert "nothing is validated on, and all of the 2 people are trained on" in caplog.text


def test_a_list_that_serves_is_taken_as_it_is(store: ClipStore, write_known_clip: Callable[..., Clip]) -> None:
    for name, frames in (("may", 300), ("june", 60)):
        write_known_clip(store, name, name, frames)
    store.write_splits({"train": ["may"], "val": ["june"]})
    assert tuple(map(shown, divided(store, trains=anything, validates=anything))) == (
        [("may", 0, 300)],
        [("june", 0, 60)],
    )


def test_a_validation_list_without_a_usable_clip_is_not_the_end(
    store: ClipStore, write_known_clip: Callable[..., Clip], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="moda")
    write_known_clip(store, "may", "may", 300)
    write_known_clip(store, "june", "june", 20)
    store.write_splits({"train": ["may"], "val": ["june"]})
    _, val = divided(store, trains=anything, validates=lambda clip: clip.frames > 25)
    assert shown(val) == [("may", 246, 300)]
    assert "has no clip that can be used among its 1" in caplog.text


def test_too_little_of_one_person_is_trained_on_whole_and_that_is_said(
    store: ClipStore, write_known_clip: Callable[..., Clip], caplog: pytest.LogCaptureFixture
) -> None:
    write_known_clip(store, "may", "may", 100)
    store.write_splits({"train": ["may"]})
    train, val = divided(store, trains=anything, validates=anything)
    assert (shown(train), val) == ([("may", 0, 100)], [])
    assert "4.0 s of one person are too little to hold any out: nothing is validated on" in caplog.text


def test_an_empty_training_list_is_named_with_what_the_others_hold(
    store: ClipStore, write_known_clip: Callable[..., Clip]
) -> None:
    write_known_clip(store, "may", "may", 100)
    store.write_splits({"test": ["may"]})
    with pytest.raises(DataError, match=r"list 'train' of .* is empty \(clips in its lists: train 0, val 0, test 1"):
        divided(store, trains=anything, validates=anything)

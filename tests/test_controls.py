"""Changes of a motion: parts from elsewhere, frozen parts, offsets, blinks at given times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moda import controls
from moda.errors import ConfigError, DataError
from moda.landmarks import EYES, LEFT_IRIS, N_LANDMARKS, canonical_face, eye_opening
from moda.representation import SHAPES, Motion


@pytest.fixture(scope="module")
def subject() -> np.ndarray:
    """The canonical face with irises in the middle of its eyes."""
    mesh = np.zeros((N_LANDMARKS, 3))
    mesh[:468] = canonical_face().vertices
    mesh[468:473], mesh[473:] = mesh[[33, 133]].mean(axis=0), mesh[[263, 362]].mean(axis=0)
    return mesh


def motion_of(frames: int, fps: float = 25.0, seed: int = 0) -> Motion:
    random = np.random.default_rng(seed)
    arrays = {name: random.normal(0, 0.2, (frames, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    return Motion(**arrays, fps=fps)


def opening(motion: Motion, subject: np.ndarray) -> np.ndarray:
    face = np.broadcast_to(subject, (len(motion), *subject.shape)).copy()
    face[:, list(EYES)] += motion.eyes
    return eye_opening(face)


@pytest.mark.parametrize("part", ["lips", "eyes", "head", "torso"])
def test_a_part_is_that_of_the_other_and_no_other_part_changes(part: controls.Part, subject: np.ndarray) -> None:
    own, other = motion_of(20), motion_of(20, seed=1)
    taken = controls.take(own, part, other, subject)
    for name in SHAPES:
        assert np.array_equal(getattr(taken, name), getattr(other if name == part else own, name))


def test_gaze_moves_the_irises_alone(subject: np.ndarray) -> None:
    own, other = motion_of(20), motion_of(20, seed=1)
    taken = controls.take(own, "gaze", other, subject)
    irises = [EYES.index(landmark) for landmark in (*LEFT_IRIS, 469, 470, 471, 472)]
    rest = [row for row in range(60) if row not in irises]
    assert np.array_equal(taken.eyes[:, irises], other.eyes[:, irises])
    assert np.array_equal(taken.eyes[:, rest], own.eyes[:, rest])
    assert not controls.freeze(own, ["gaze"]).eyes[:, irises].any()


def test_sources_of_another_length_and_rate(subject: np.ndarray) -> None:
    own, short, slow = motion_of(20), motion_of(4, seed=1), motion_of(10, fps=12.5, seed=2)
    back_and_forth = controls.take(own, "head", short, subject).head
    assert np.array_equal(back_and_forth[:8], short.head[[0, 1, 2, 3, 2, 1, 0, 1]])
    assert np.allclose(controls.take(own, "head", slow, subject).head[0:20:2], slow.head, atol=1e-6)
    assert np.array_equal(
        controls.take(own, "head", motion_of(50, seed=3), subject).head, motion_of(50, seed=3).head[:20]
    )
    assert np.array_equal(
        controls.take(own, "head", motion_of(1, seed=3), subject).head[7], motion_of(1, seed=3).head[0]
    )


@pytest.mark.parametrize("fps", [25.0, 50.0, 12.5])
def test_blinks_are_where_they_were_asked_for_and_nowhere_else(fps: float, subject: np.ndarray) -> None:
    still = replace(motion_of(round(4 * fps), fps), eyes=np.zeros((round(4 * fps), 60, 3), np.float32))
    blinking = controls.blinking(still, [0.8, 2.4], subject)
    curve = opening(blinking, subject) / opening(still, subject)
    deepest = [round(0.8 * fps), round(2.4 * fps)]
    assert (curve[deepest] < 0.05).all()
    seconds = np.arange(len(curve)) / fps
    away = np.min(np.abs(seconds[:, None] - [0.8, 2.4]), axis=1) > 0.2
    assert np.allclose(curve[away], 1)
    if fps >= 25:
        assert np.allclose(controls.blink_times(blinking, subject), [0.8, 2.4], atol=0.05)
    moved = controls.blinking(blinking, [1.6], subject)
    curve = opening(moved, subject) / opening(still, subject)
    assert curve[round(1.6 * fps)] < 0.05 and (fps < 25 or curve[deepest].min() > 0.95)
    assert controls.blinking(blinking, [], subject).eyes.shape == still.eyes.shape


def test_blinks_of_another_motion_come_at_its_times(subject: np.ndarray) -> None:
    still = replace(motion_of(100), eyes=np.zeros((100, 60, 3), np.float32))
    other = controls.blinking(still, [1.0, 3.0], subject)
    taken = controls.take(controls.blinking(still, [2.0], subject), "blinks", other, subject)
    assert np.allclose(controls.blink_times(taken, subject), [1.0, 3.0], atol=0.05)


def test_frozen_parts_and_offsets() -> None:
    own = motion_of(5)
    frozen = controls.freeze(own, ["head", "lips"])
    assert not frozen.head.any() and not frozen.lips.any() and np.array_equal(frozen.eyes, own.eyes)
    turned = controls.offset(own, {"yaw": 5.0, "scale": 0.1})
    assert np.allclose(turned.head - own.head, [0, 5, 0, 0, 0, 0, 0.1], atol=1e-6)


def test_what_cannot_be_done_is_told(subject: np.ndarray) -> None:
    own = motion_of(25)
    with pytest.raises(ConfigError, match="no part 'nose', wanted one of lips, eyes, head, torso, gaze, blinks"):
        controls.take(own, "nose", own, subject)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'blinks' cannot be frozen"):
        controls.freeze(own, ["blinks"])
    with pytest.raises(ConfigError, match="no offset 'nod'"):
        controls.offset(own, {"nod": 1.0})  # type: ignore[dict-item]
    for time in (-0.1, 1.0):
        with pytest.raises(DataError, match=f"a blink at {time}, wanted 0 to 1.00 s"):
            controls.blinking(own, [time], subject)

from __future__ import annotations

import numpy as np
import pytest

from moda.blinks import find_blinks
from moda.gaze import MAX_GAZE, PER_DEGREE, Fixations
from moda.landmarks import EYE_CORNERS, EYES, INNER_CORNERS, LEFT_EYE, LEFT_IRIS, LIDS, RIGHT_IRIS, eye_opening
from tests.talking_clips import mesh

IRISES = [EYES.index(point) for point in (*LEFT_IRIS, *RIGHT_IRIS)]
UPPER = [EYES.index(point) for lids in LIDS for point in lids[0]]
LOWER = [EYES.index(point) for lids in LIDS for point in lids[1]]
WIDTH = float(
    np.mean([np.linalg.norm((mesh()[a] - mesh()[b])[:2]) for a, b in zip(EYE_CORNERS, INNER_CORNERS, strict=True)])
)


def wander(frames: int, seed: int = 0) -> np.ndarray:
    """Eyes (T, 60, 3) whose gaze goes on smoothly, by about 2 % of the eye's width either way."""
    drawn = np.random.default_rng(seed).normal(size=(frames + 60, 2))
    kernel = np.hanning(30) / np.linalg.norm(np.hanning(30))
    gaze = np.stack([np.convolve(column, kernel, "same") for column in drawn.T], axis=1)[30:-30] * [0.02, 0.01]
    eyes = np.zeros((frames, len(EYES), 3), np.float32)
    eyes[:, IRISES, :2] = (gaze * WIDTH)[:, None]
    return eyes


def gaze_of(eyes: np.ndarray) -> np.ndarray:
    return eyes[:, IRISES, :2].mean(axis=1) / WIDTH


def two_frame_share(gaze: np.ndarray) -> float:
    """Median over the largest shifts within six frames of the share that happens within two of them."""
    shift = np.linalg.norm(gaze[6:] - gaze[:-6], axis=1)
    two = np.linalg.norm(gaze[2:] - gaze[:-2], axis=1)
    largest = [i for i in range(len(shift)) if shift[i] > 0.01 and shift[i] == shift[max(0, i - 5) : i + 6].max()]
    return float(np.median([two[i : i + 5].max() / shift[i] for i in largest]))


def test_gaze_rests_and_jumps() -> None:
    eyes, head = wander(1500), np.zeros((1500, 7), np.float32)
    before, after = gaze_of(eyes), gaze_of(Fixations(mesh(), 0)(eyes, head))
    assert two_frame_share(before) < 0.6 and two_frame_share(after) > 0.95
    moved = np.linalg.norm(np.diff(after, axis=0), axis=1) > 1e-5
    jumps = np.flatnonzero(np.diff(moved.astype(int)) > 0)
    assert moved.mean() < 0.25 and 0.5 < len(jumps) / 60 < 3, "rests, and jumps about once a second"
    assert np.diff(jumps).min() >= 5 and np.diff(jumps).max() <= 75
    assert np.abs(after - before).max() < 0.06, "it looks where the wander goes"
    assert after.std(axis=0) == pytest.approx(before.std(axis=0), rel=0.25)


def test_eyes_turn_against_the_head_and_no_further_than_they_can() -> None:
    head = np.zeros((60, 7), np.float32)
    head[:, 1] = np.linspace(0, 10, 60)
    head[:, 0] = np.linspace(0, 40, 60)
    after = gaze_of(Fixations(mesh(), 0)(np.zeros((60, len(EYES), 3), np.float32), head))
    steady = after[:, 0] - PER_DEGREE[0] * head[:, 1]
    assert np.abs(steady).max() < 0.04 and after[-1, 0] > 0.02
    assert (np.abs(after) <= MAX_GAZE + 1e-6).all() and after[-1, 1] == pytest.approx(-MAX_GAZE[1], abs=0.02)


@pytest.mark.parametrize("pieces", [[1, 7, 292], [150, 150], [299, 1]])
def test_parts_of_any_length_give_the_same(pieces: list[int]) -> None:
    eyes, head = wander(300), np.zeros((300, 7), np.float32)
    head[:, :2] = 5 * np.sin(np.arange(300) / 20)[:, None]
    whole, by_part, parts = Fixations(mesh(), 3)(eyes, head), Fixations(mesh(), 3), []
    for stop in np.cumsum(pieces):
        part = slice(stop - pieces[len(parts)], stop)
        parts.append(by_part(eyes[part], head[part]))
    assert np.array_equal(np.concatenate(parts), whole) and whole.dtype == np.float32
    assert not np.array_equal(Fixations(mesh(), 4)(eyes, head), whole), "the seed decides"


def test_only_irises_move_and_blinks_stay() -> None:
    eyes, head = wander(200), np.zeros((200, 7), np.float32)
    rest = mesh()[list(EYES)]
    gap = rest[LOWER] - rest[UPPER]
    for frame, closed in zip(range(100, 106), (0.3, 0.8, 1.0, 0.8, 0.5, 0.2), strict=True):
        eyes[frame, UPPER] += 0.9 * closed * gap
        eyes[frame, IRISES, 1] += 4 * closed  # the tracker's irises go down with the lid
    after = Fixations(mesh(), 0)(eyes, head)
    others = np.setdiff1d(np.arange(len(EYES)), IRISES)
    assert np.array_equal(after[:, others], eyes[:, others]) and np.array_equal(after[..., 2], eyes[..., 2])
    change = gaze_of(after) - gaze_of(eyes)
    assert np.ptp(change[100:108], axis=0) == pytest.approx(0, abs=1e-6), "a blink moves the irises as it did"
    face = np.repeat(mesh()[None], 200, axis=0)
    face[:, list(EYES)] += after
    assert len(find_blinks(eye_opening(face))) == 1 and set(LEFT_EYE) <= set(EYES)

"""A picture that stands still is found in spite of what codecs and grain add, and a pause of a person is none."""

from __future__ import annotations

import numpy as np
import pytest

from data_prepare.scan.spans import MIN_FREEZE_FRAMES, frozen_frames, small_grey
from moda.landmarks import canonical_face
from moda.representation import FRAME

SIDE = 160


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """(160, 160, 3) a face's square with soft structure, grey levels of standard deviation 40."""
    coarse = np.random.default_rng(0).normal(128, 40, (20, 20, 3))
    return np.clip(coarse.repeat(8, axis=0).repeat(8, axis=1), 0, 255)


def landmarks(frames: int) -> np.ndarray:
    vertices = canonical_face().vertices
    points = np.concatenate([vertices, vertices[:10]]) - vertices.mean(axis=0) + FRAME / 2
    return np.repeat(points[None].astype(np.float32), frames, axis=0)


def frozen(pictures: list[np.ndarray], points: np.ndarray | None = None) -> np.ndarray:
    small = np.stack([small_grey(np.clip(picture, 0, 255).astype(np.uint8)) for picture in pictures])
    return frozen_frames(small, landmarks(len(pictures)) if points is None else points)


def moving(face: np.ndarray, frames: int, pixels: float = 4.0) -> list[np.ndarray]:
    return [np.roll(face, round(pixels * np.sin(t / 3)), axis=1) for t in range(frames)]


def test_a_photo_is_frozen_with_grain_too(face):
    noise = np.random.default_rng(1)
    assert frozen([face] * 60).all()
    assert frozen([face + noise.normal(0, 1.5, face.shape) for _ in range(60)]).all()


def test_the_part_after_a_freeze_and_before_it_are_told_apart(face):
    live = moving(face, 40)
    found = frozen([*live, *[live[-1]] * 50])
    assert not found[:38].any() and found[41:].all()


def test_what_moves_is_not_frozen(face):
    assert not frozen(moving(face, 60)).any()
    still = [face] * 60
    mouth = [picture.copy() for picture in still]
    for t, picture in enumerate(mouth):
        if t % 10 < 5:
            picture[100:120, 60:100] -= 60  # a mouth that opens
    assert not frozen(mouth).any()


def test_a_shorter_stop_is_a_pause(face):
    assert not frozen([*moving(face, 30), *[face] * (MIN_FREEZE_FRAMES - 4), *moving(face + 5, 30)])[2:58].all()
    assert not frozen([face] * (MIN_FREEZE_FRAMES - 1)).any()


def test_frames_without_a_face_are_not_judged(face):
    points = landmarks(60)
    points[:30] = np.nan
    found = frozen([face] * 60, points)
    assert not found[:30].any() and found[30:].all()


def test_only_the_face_counts(face):
    """A photo with a moving banner below it."""
    pictures = [face.copy() for _ in range(60)]
    for t, picture in enumerate(pictures):
        picture[150:] = 255 * (t % 2)
    assert frozen(pictures).all()


def test_a_black_picture_is_frozen():
    assert frozen([np.zeros((SIDE, SIDE, 3))] * 40).all()

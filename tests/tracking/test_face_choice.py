"""Which face is taken, and what is said of those that cannot be."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from moda.errors import FaceError
from moda.tracking.face import FaceTracker
from moda.tracking.face_choice import choose_face, distinct, find_faces, seen_again
from tests.tracking.detect import detect_faces


@pytest.fixture(scope="module")
def pair(astronaut: np.ndarray) -> np.ndarray:
    """(512, 940, 3): a large face at the left, a smaller one at the right."""
    small = np.array(Image.fromarray(astronaut[:, ::-1]).resize((400, 400)))
    both = np.full((512, 940, 3), 128, np.uint8)
    both[:, :512] = astronaut
    both[60:460, 530:930] = small
    return both


def test_faces_are_counted_by_size(pair: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "moda")
    with FaceTracker(video=False, max_faces=8) as tracker:
        first, second = (choose_face(find_faces(tracker, pair, n), pair, n, "a.png") for n in (1, 2))
        with pytest.raises(FaceError, match=r"there is no face 3: 2 faces found in a\.png"):
            choose_face(find_faces(tracker, pair, 3), pair, 3, "a.png")
    assert first[:, 0].max() < 512 and second[:, 0].min() > 530
    assert np.ptp(first[:, 0]) > np.ptp(second[:, 0])
    assert "2 faces in a.png: the largest is taken" in caplog.text and "face 2 by size is taken" in caplog.text


def test_a_second_face_that_only_a_closer_look_shows(astronaut: np.ndarray) -> None:
    wide = np.full((1024, 2048, 3), 90, np.uint8)
    wide[:, :1024] = np.array(Image.fromarray(astronaut).resize((1024, 1024)))
    wide[700:1000, 1600:1900] = np.array(Image.fromarray(astronaut).resize((300, 300)))
    with FaceTracker(video=False, max_faces=8) as tracker:
        assert len(tracker.faces(wide)) == 1
        assert len(find_faces(tracker, wide, 1)) == 1
        both = find_faces(tracker, wide, 2)
    assert len(both) == 2 and both[1][:, 0].min() > 1600


def test_a_pattern_that_passes_for_a_face_in_a_tile_is_none(astronaut: np.ndarray) -> None:
    scene = np.full((512, 880, 3), 128, np.uint8)
    scene[:, :512] = astronaut
    scene[150:450, 560:860] = np.array(Image.fromarray(astronaut[:, ::-1]).resize((300, 300)))
    with FaceTracker(video=False, max_faces=8) as tracker:
        pattern = tracker.faces(scene[256:512, 624:880])
        assert len(pattern) == 1 and not seen_again(tracker, scene, pattern[0] + np.array([624, 256, 0]))
        assert len(find_faces(tracker, scene, 3)) == 2


def test_one_face_seen_in_two_tiles_is_one(astronaut: np.ndarray) -> None:
    face = detect_faces(astronaut)[0]
    speck = face * 0.05
    assert len(distinct([face, face + 5.0, speck])) == 1
    assert len(distinct([face, face + np.array([300.0, 0, 0])])) == 2

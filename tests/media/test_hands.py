"""What hands cover."""

from __future__ import annotations

import numpy as np
import pytest

from moda.errors import FaceError
from moda.media import picture
from moda.media.crop import square_box, to_frame
from moda.media.face_tracker import detect_faces
from moda.media.hands import covered_share, find_hands


def test_covered_share_by_hand() -> None:
    mouth = np.array([[100, 100], [140, 100], [140, 120], [100, 120]], float)
    hand = np.array([[120, 0], [300, 0], [300, 400], [120, 400]], float)  # its right half, and half a finger more
    finger = 0.06 * 400
    assert covered_share(mouth, [hand + np.array([15, 0])], 512) == pytest.approx((5 + finger) / 40, abs=0.06)
    assert covered_share(mouth, [hand + 200], 512) == 0
    assert covered_share(mouth, [], 512) == 0


def test_a_portrait_without_hands(astronaut: np.ndarray) -> None:
    assert find_hands(astronaut) == []


def test_a_hand_over_the_mouth_is_refused(astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hand is a made-up one: pictures of real ones are not part of the project."""
    lips = detect_faces(astronaut)[0][[13]][0, :2]
    box = square_box(detect_faces(astronaut)[0], *astronaut.shape[1::-1])
    over = to_frame(np.array(lips), box) + 60 * (np.random.default_rng(0).random((21, 2)) - 0.5) * (2, 3)
    monkeypatch.setattr(picture, "find_hands", lambda image: [over])
    with pytest.raises(FaceError, match=r"a hand covers the mouth.*: a\.png"):
        picture.make_portrait(astronaut, 64, source="a.png")
    monkeypatch.setattr(picture, "find_hands", lambda image: [over + np.array([0.0, 200.0])])
    assert picture.make_portrait(astronaut, 64).image.shape == (64, 64, 3)

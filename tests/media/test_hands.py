"""What hands cover."""

from __future__ import annotations

import numpy as np
import pytest

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

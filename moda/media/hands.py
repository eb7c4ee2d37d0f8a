"""Hands in a picture (MediaPipe Hands; the models are inside the wheel), and what they cover."""

from __future__ import annotations

import cv2
import numpy as np

from moda.media.face_tracker import native_stderr_muted

FINGER = 0.06
"""Half the width of a finger, as a share of the hand's length: landmarks run along its middle."""


def find_hands(image: np.ndarray, most: int = 4) -> list[np.ndarray]:
    """Hands of an (H, W, 3) uint8 RGB picture: (21, 2) landmarks each, pixels."""
    with native_stderr_muted():
        from mediapipe.python.solutions.hands import Hands

        with Hands(static_image_mode=True, max_num_hands=most) as model:
            found = model.process(np.ascontiguousarray(image)).multi_hand_landmarks
    scale = np.array(image.shape[1::-1], np.float64)
    return [np.array([(point.x, point.y) for point in hand.landmark]) * scale for hand in found or ()]


def covered_share(area: np.ndarray, hands: list[np.ndarray], side: int) -> float:
    """The share of an area, a convex outline (K, 2), that hands (21, 2) cover; pixels of a square of `side`."""
    inside, hidden = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.round(area).astype(np.int32)), 1)
    for hand in hands:
        width = 2 * FINGER * float(np.ptp(hand, axis=0).max())
        outline = cv2.convexHull(np.round(hand).astype(np.int32))
        cv2.fillConvexPoly(hidden, outline, 1)
        cv2.polylines(hidden, [outline], True, 1, max(1, round(width)))
    return float(hidden[inside > 0].mean()) if inside.any() else 0.0

"""Faces of one picture, as most tests look for them."""

from __future__ import annotations

import numpy as np

from moda.tracking.face import FaceTracker


def detect_faces(image: np.ndarray, max_faces: int = 8) -> list[np.ndarray]:
    """Faces of one (H, W, 3) uint8 RGB picture, largest first: (478, 3) each, as in `FaceTracker.faces`."""
    with FaceTracker(video=False, max_faces=max_faces) as tracker:
        return tracker.faces(image)

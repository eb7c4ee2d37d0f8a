"""Landmarks of a head that sways and talks, for what a frame costs."""

from __future__ import annotations

import numpy as np

from moda.geometry import apply_head, to_canonical, to_image
from moda.landmarks import CENTRAL_LIP_PAIRS
from moda.representation import Portrait


def moving(portrait: Portrait, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (T, 478, 3) and torso (T, 18, 3) of a head that sways by 12 degrees with a mouth that opens."""
    phase = np.linspace(0, 4 * np.pi, frames)
    head = np.zeros((frames, 7))
    head[:, 1], head[:, 0] = 12 * np.sin(phase), 4 * np.sin(1.7 * phase)
    canonical = np.repeat(to_canonical(portrait.landmarks[None], portrait.pose), frames, axis=0)
    for upper, lower in CENTRAL_LIP_PAIRS:
        canonical[:, upper, 1] -= 4 * (1 - np.cos(3 * phase))
        canonical[:, lower, 1] += 4 * (1 - np.cos(3 * phase))
    landmarks = to_image(canonical, apply_head(portrait.pose, head)).astype(np.float32)
    return landmarks, np.repeat(portrait.torso[None], frames, axis=0)

"""Head and shoulders as joints in the axes of 3D programs: x to the picture's right, y up, z to the viewer; metres.

Motion has y down and z away, so points are (x, -y, -z), and turns about y and z change their sign.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from moda.landmarks import PIXELS_PER_CM
from moda.representation import Motion

METRES_PER_PIXEL = 0.01 / PIXELS_PER_CM
"""At head scale 1."""
NECK_TO_HEAD_M, SHOULDER_OUT_M, SHOULDER_DOWN_M = 0.12, 0.17, 0.05
"""Where the joints rest: the head above the root between the shoulders, and these beside it."""
_FLIP = np.array([1.0, -1.0, -1.0])


class Joint(NamedTuple):
    """rest: (3,) metres from the root. moved: (T, 3) metres. degrees: (T, 3) about x, y, z, in this order."""

    name: str
    rest: tuple[float, float, float]
    moved: np.ndarray
    degrees: np.ndarray

    @property
    def quaternions(self) -> np.ndarray:
        """(T, 4) x, y, z, w."""
        return Rotation.from_euler("xyz", self.degrees, degrees=True).as_quat()


def joints(motion: Motion) -> list[Joint]:
    """Head, and the shoulders at the picture's left and right: the subject's right and left."""
    still = np.zeros((len(motion), 3))
    head = motion.head.astype(np.float64)
    sides = np.split(motion.torso.astype(np.float64), 2, axis=1)
    right, left = (side.mean(axis=1) * _FLIP * METRES_PER_PIXEL for side in sides)
    return [
        Joint("Head", (0.0, NECK_TO_HEAD_M, 0.0), head[:, 3:6] * _FLIP * METRES_PER_PIXEL, head[:, :3] * _FLIP),
        Joint("RightShoulder", (-SHOULDER_OUT_M, -SHOULDER_DOWN_M, 0.0), right, still),
        Joint("LeftShoulder", (SHOULDER_OUT_M, -SHOULDER_DOWN_M, 0.0), left, still),
    ]

"""Texture of lips that close: what they hide is not squeezed onto them.

In a picture with an open mouth the tracker's edge of the lips lies a little inside or outside the true one, so that
teeth would stay on the line of the closed lips as a pale band or as dots. Where a frame closes the mouth further than
the picture does, the inner edge of the lips takes its texture from the lips themselves, as people's lips roll inwards.
The inside of the mouth keeps its own texture. Nothing changes for the reference itself, nor for a mouth that opens.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from moda.imaging.eye_texture import INNER_POINTS, with_own_texture
from moda.imaging.eye_texture import textured_triangles as triangles_with_eyes
from moda.landmarks import INNER_LIP_PAIRS, INNER_LIPS, N_MESH

SECOND_RING = (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96)
"""Mesh points next to `INNER_LIPS` on the lips, in their order."""
HIDDEN_SHARE = 0.7
"""How far towards the second ring the edge of closed lips moves on an open reference."""
CLOSED_BY = 0.08
"""By how much a frame closes a mouth for that to happen in full, in lengths of the nose."""
NOSE_ENDS = (168, 2)
"""Between the eyes, and under the tip: turns of the head change their distance as they change the mouth's opening."""


class MouthTexture:
    """Texture places of one reference, whose landmarks are (478, 3), pixels."""

    def __init__(self, landmarks: np.ndarray) -> None:
        points = landmarks[:, :2]
        self._inwards = HIDDEN_SHARE * (points[list(SECOND_RING)] - points[list(INNER_LIPS)])
        self._opening = _opening(points)

    def places(self, landmarks: np.ndarray, texture: np.ndarray) -> np.ndarray:
        """Where in the reference the texture of each point is, for a frame's landmarks (478, 3).

        texture: such places of the mesh and of what stands after it, whose inner lips are changed. Returns these and
        after them those of the inside of the mouth, (20, 2).
        """
        closed = float(np.clip((self._opening - _opening(landmarks[:, :2])) / CLOSED_BY, 0, 1))
        places = np.concatenate([texture, texture[list(INNER_LIPS)]])
        places[list(INNER_LIPS)] += closed * self._inwards
        return places


def _opening(points: np.ndarray) -> float:
    """How far the inner edges of the lips are apart on average, of the face's points (N, 2): in lengths of the nose."""
    upper, lower = (points[[pair[side] for pair in INNER_LIP_PAIRS]] for side in (0, 1))
    nose = float(np.linalg.norm(np.subtract(*points[list(NOSE_ENDS)])))
    return float(np.linalg.norm(lower - upper, axis=1).mean()) / max(nose, 1e-6)


@lru_cache(maxsize=1)
def textured_triangles() -> np.ndarray:
    """The face's triangles (898, 3) as rows of `MouthTexture.places` of `EyeTexture.places`."""
    return with_own_texture(triangles_with_eyes(), INNER_LIPS, N_MESH + INNER_POINTS)

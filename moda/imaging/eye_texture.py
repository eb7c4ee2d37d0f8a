"""Texture of the lids and of the open eye: a lid covers the eye and is not squeezed with it, and the iris looks about.

Where an upper lid comes down, the skin between it and the eyebrow is stretched evenly: it unrolls, and the lashes stay
at its edge. Inside the eye texture has places of its own, as nothing there hangs on the lids: what they cover is not
drawn, and what the reference shows is moved as the iris moves between the corners. Nothing changes for the reference
itself.

Dimension letters: E 2 eyes (left, right), R 4 rows (edge of the upper lid, two above it, eyebrow), C 7 columns from the
outer to the inner corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from moda.landmarks import (
    EYE_ENDS,
    LEFT_EYE_CONTOUR,
    LEFT_IRIS_CENTRE,
    LIDS,
    N_MESH,
    RIGHT_EYE_CONTOUR,
    RIGHT_IRIS_CENTRE,
    canonical_face,
    other_side,
)

CONTOURS = (LEFT_EYE_CONTOUR, RIGHT_EYE_CONTOUR)
IRISES = (LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE)
INNER_POINTS = len(LEFT_EYE_CONTOUR) + len(RIGHT_EYE_CONTOUR)
"""Places of texture inside the eyes, which stand after those of the mesh: their contours once more."""
RIGHT_LID_ROWS = (
    (247, 30, 29, 27, 28, 56, 190),
    (113, 225, 224, 223, 222, 221, 189),
    (124, 46, 53, 52, 65, 55, 193),
)
"""Mesh points above the right eye's upper lid, a row each, the eyebrow's lower edge last."""
GAZE_SHARES = np.sqrt(np.sin(np.pi * np.arange(1, 8) / 8))
"""How far each column moves with the iris: wholly in the middle of the eye, not at its corners."""


class EyeTexture:
    """Texture places of one reference, whose landmarks are (478, 3), pixels."""

    def __init__(self, landmarks: np.ndarray) -> None:
        points = landmarks[:, :2]
        self._points = points
        self._rows = points[_lid_rows()]
        self._along = _lengths(self._rows)
        self._steps = np.diff(self._rows, axis=1) / np.maximum(np.diff(self._along, axis=1), 1e-6)[..., None]
        self._eyes = [_Eye(points, side) for side in range(2)]

    def places(self, landmarks: np.ndarray, mesh: np.ndarray) -> np.ndarray:
        """Where in the reference the texture of each point is, for a frame's landmarks (478, 3).

        mesh: (468, 2) such places, of which those of the lids' skin are changed. Returns (468 + `INNER_POINTS`, 2).
        """
        points = landmarks[:, :2]
        places = np.concatenate([mesh, self._points[list(CONTOURS[0] + CONTOURS[1])]])
        places[_lid_rows()[:, 1:3]] += self._unrolled(points[_lid_rows()])
        start = N_MESH
        for side, reference in enumerate(self._eyes):
            inside = places[start : start + len(CONTOURS[side])]
            inside += reference.moved(_Eye(points, side))
            start += len(inside)
        return places

    def _unrolled(self, rows: np.ndarray) -> np.ndarray:
        """By how much the texture of the two middle rows moves up for a frame's (E, R, C, 2): (E, 2, C, 2) pixels.

        The rows lie evenly along the reference's where the frame stretches the lowest strip more than the whole.
        """
        along, lengths = self._along, _lengths(rows)
        even = lengths * (along[:, -1:] / np.maximum(lengths[:, -1:], 1e-6))
        wanted = np.where(even[:, 1:2] > along[:, 1:2], even, along)[:, 1:3]
        strip = (wanted[:, :, None] >= along[:, None, 1:3]).sum(axis=2)
        start, rest = np.take_along_axis(along, strip, axis=1), strip[..., None]
        places = np.take_along_axis(self._rows, rest, axis=1)
        places += (wanted - start)[..., None] * np.take_along_axis(self._steps, rest, axis=1)
        return np.asarray(places - self._rows[:, 1:3])


def _lengths(rows: np.ndarray) -> np.ndarray:
    """(E, R, C, 2) -> how far each row lies above the lid's edge, along its column (E, R, C)."""
    steps = np.hypot(*np.moveaxis(np.diff(rows, axis=1), -1, 0))
    return np.concatenate([np.zeros_like(steps[:, :1]), np.cumsum(steps, axis=1)], axis=1)


class _Eye:
    """An eye in the frame of its corners: from the outer to the inner one, and downwards; in widths of the eye."""

    def __init__(self, points: np.ndarray, side: int) -> None:
        inner, outer = (points[corner] for corner in EYE_ENDS[1 - side])
        self.width = max(float(np.linalg.norm(inner - outer)), 1e-6)
        across = (inner - outer) / self.width
        down = np.array([-across[1], across[0]]) * (1 if side else -1)
        self.axes = np.stack([across, down])
        upper, lower = LIDS[side]
        place = (points[[*upper, *lower, IRISES[side]]] - outer) @ self.axes.T / self.width
        self.upper, self.lower, self.iris = place[:7, 1], place[7:14, 1], place[14]

    def moved(self, frame: _Eye) -> np.ndarray:
        """By how many pixels of this reference the texture inside its contour moves for a frame, (16, 2)."""
        across, down = np.multiply.outer(frame.iris - self.iris, GAZE_SHARES)
        covered = np.clip(frame.upper - self.upper - down, 0, None)
        raised = np.clip(self.lower - frame.lower + down, 0, None)
        most = np.maximum(self.lower - self.upper, 0)
        share = np.minimum(1, most / np.maximum(covered + raised, 1e-6))  # lids do not pass one another
        found = np.zeros((2 * len(across) + 2, 2))
        found[1:8] = np.column_stack([-across, share * covered])
        found[:8:-1] = np.column_stack([-across, -share * raised])
        moved: np.ndarray = found @ self.axes * self.width
        return moved


@lru_cache(maxsize=1)
def _lid_rows() -> np.ndarray:
    """(E, R, C) mesh points."""
    right = np.array([LIDS[1][0], *RIGHT_LID_ROWS])
    left = np.array(other_side())[right]
    return np.stack([left, right])


@lru_cache(maxsize=1)
def textured_triangles() -> np.ndarray:
    """The face's triangles (898, 3) as rows of `EyeTexture.places`."""
    triangles, start = canonical_face().triangles, N_MESH
    for contour in CONTOURS:
        triangles = with_own_texture(triangles, contour, start)
        start += len(contour)
    return triangles


def with_own_texture(triangles: np.ndarray, contour: Sequence[int], start: int) -> np.ndarray:
    """Triangles (N, 3), of which those inside a contour have texture of their own: a row a point, from `start` on."""
    found, inside = triangles.copy(), np.isin(triangles, contour).all(axis=1)
    row = {point: start + i for i, point in enumerate(contour)}
    found[inside] = [[row[point] for point in corners] for corners in triangles[inside]]
    return found

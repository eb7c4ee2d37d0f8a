"""Texture of the face's edge where a turn shows more of it than the reference does.

Along the face oval the reference shows skin edge-on, under hair, or not at all: stretched, that is a blotch of hair or
of background on the cheek. There the texture is taken from further inside, where skin is seen well, the more the more
the surface has turned towards the camera. Nothing changes for the reference itself.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix

from moda.landmarks import FACE_OVAL, N_MESH, canonical_face

EDGE_WIDTH_PX = 42.0
"""How far inside the oval texture is taken from elsewhere, canonical pixels: less than to the corner of an eye."""
MOST_SHIFT = 0.8
"""How far inside the texture of the oval itself is taken from at most, as a share of that width."""
SEEN_COSINE, HIDDEN_COSINE = 0.15, -0.15
"""Cosines of the angle to the camera: down to the first the reference shows the edge as it is, from the second on not
at all.
"""
TURN_COSINE = 0.3
"""By how much more of that cosine than in the reference texture comes wholly from further inside."""
CHEEKS = 205, 425
"""Points of the right and of the left cheek: from the temples the way inside goes there, past eyes and brows."""
STEPS = 12
"""Places along the way inside between which a texture's place is interpolated."""


class EdgeSkin:
    """Texture places of one reference, whose mesh points are (468, 3), pixels."""

    def __init__(self, mesh: np.ndarray) -> None:
        self._mesh = mesh[:, :2]
        self._facing = facing(mesh)
        near, edge, ways = _ways_inside()
        steps = (ways @ self._mesh).reshape(STEPS + 1, len(near), 2)
        hidden = np.clip((SEEN_COSINE - self._facing[edge]) / (SEEN_COSINE - HIDDEN_COSINE), 0, 1)
        at = MOST_SHIFT * hidden * STEPS
        low = np.minimum(at.astype(int), STEPS - 1)
        part, points = (at - low)[:, None], np.arange(len(near))
        self._shift = steps[low, points] * (1 - part) + steps[low + 1, points] * part - self._mesh[near]

    def places(self, mesh: np.ndarray) -> np.ndarray:
        """Where in the reference the texture of each point is, (468, 2) pixels, for a frame's points (468, 3)."""
        near, edge, _ = _ways_inside()
        turned = np.clip((facing(mesh) - self._facing)[edge] / TURN_COSINE, 0, 1)
        places: np.ndarray = self._mesh.copy()
        places[near] += (turned * turned * (3 - 2 * turned))[:, None] * self._shift
        return places


def facing(mesh: np.ndarray) -> np.ndarray:
    """Cosine of the angle between the surface and the camera at each point of (468, 3): (468,), below 0 behind."""
    corners = mesh[canonical_face().triangles]
    normals = _around() @ np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    cosine: np.ndarray = normals[:, 2] / np.maximum(np.linalg.norm(normals, axis=1), 1e-9)
    return cosine * _front()


@lru_cache(maxsize=1)
def _around() -> csr_matrix:
    """(468, 898): the triangles around each point."""
    triangles = canonical_face().triangles
    ones = np.ones(triangles.size)
    return csr_matrix((ones, (triangles.ravel(), np.repeat(np.arange(len(triangles)), 3))), (N_MESH, len(triangles)))


@lru_cache(maxsize=1)
def _front() -> float:
    """1 if the canonical triangles go round so that a normal towards the camera has a positive z, else -1."""
    corners = canonical_face().vertices[canonical_face().triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.sign(normals[:, 2].sum()))


@lru_cache(maxsize=1)
def _ways_inside() -> tuple[np.ndarray, np.ndarray, csr_matrix]:
    """The points within `EDGE_WIDTH_PX` of the oval (K,), the oval's point next to each (K,), and where each is after 0
    to STEPS steps inside, ((STEPS + 1) * K, 468): means of three points of the mesh. On the oval all steps together
    are that width; they shrink to 0 at the end of the strip.
    """
    flat = canonical_face().vertices[:, :2]
    oval = flat[list(FACE_OVAL)]
    edge = np.roll(oval, -1, axis=0) - oval
    along = ((flat[:, None] - oval) * edge).sum(axis=2) / (edge**2).sum(axis=1)
    foot = oval + np.clip(along, 0, 1)[..., None] * edge
    distance = np.linalg.norm(flat[:, None] - foot, axis=2).min(axis=1)
    near = np.flatnonzero(distance < EDGE_WIDTH_PX)
    beside = np.linalg.norm(flat[near, None] - oval, axis=2).argmin(axis=1)
    middle = _directions(-flat[near])
    cheek = flat[np.where(flat[near, 0] < 0, *CHEEKS)]
    inward = np.where((flat[near] < cheek)[:, 1:], _directions(cheek - flat[near]), middle)
    length = (EDGE_WIDTH_PX - distance[near]) / np.maximum((inward * middle).sum(axis=1), 0.5)
    places = flat[near] + np.linspace(0, 1, STEPS + 1)[:, None, None] * (length[:, None] * inward)
    corners, weights = _on_the_mesh(places.reshape(-1, 2), flat)
    rows = np.repeat(np.arange(len(corners)), 3)
    return (
        near,
        np.array(FACE_OVAL)[beside],
        csr_matrix((weights.ravel(), (rows, corners.ravel())), (len(corners), N_MESH)),
    )


def _directions(ways: np.ndarray) -> np.ndarray:
    """Ways (N, 2) at length 1."""
    return np.asarray(ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-6))


def _on_the_mesh(places: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The triangle (P, 3) over each place (P, 2) of the flat canonical face, and the weights of its corners (P, 3)."""
    triangles = canonical_face().triangles
    a, b, c = (flat[triangles[:, corner]] for corner in range(3))
    matrix = np.linalg.pinv(np.stack([b - a, c - a], axis=2))
    second = np.einsum("tij,ptj->pti", matrix, places[:, None] - a)
    weights = np.concatenate([1 - second.sum(axis=2, keepdims=True), second], axis=2)
    best = weights.min(axis=2).argmax(axis=1)
    found = np.clip(weights[np.arange(len(places)), best], 0, 1)
    return triangles[best], found / found.sum(axis=1, keepdims=True)

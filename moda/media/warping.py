"""The reference picture, warped to target landmarks (piecewise affine over a mesh of triangles).

The mesh: MediaPipe's 898 face triangles, and around them triangles over the face oval, two rings
that follow the head rigidly, the shoulder points and the border of the picture. The rings and
the shoulders carry hair, neck and clothes; the background does not move at all: the person is
cut out by the person mask, warped, and laid over a background whose hidden part is filled in.

What the warp cannot know is marked: validity is the share of reference pixels behind a pixel.
It falls to 0 where a closed reference mouth opens.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import Delaunay

from moda.geometry import fit_head_pose, to_canonical, to_image
from moda.landmarks import FACE_OVAL, INNER_LIPS, N_MESH, SHOULDER_POINTS, canonical_face
from moda.media.crop import Box, crop_square
from moda.media.drawing import SUBPIXEL_BITS, to_subpixels
from moda.representation import FRAME, HeadPose, Portrait

RINGS = (1.22, 1.6)
"""Rings around the face oval, as multiples of its radius."""
RING_DEPTHS = (10.0, 30.0)
"""How far behind its point of the face oval a ring point lies, canonical pixels: hair is not a
flat disc, and one depth for all would fold the hairline when the head nods."""
MOUTH_DARK = np.array([58.0, 26.0, 24.0], np.float32)
"""Colour of the inside of a mouth nothing is known of, RGB."""
BORDER_POINTS = 7
FILL_MARGIN = 0.03
"""How far the background is filled in around the person, as a share of the picture's side."""


class Window(NamedTuple):
    """A square part of a picture: left and top edge and side, pixels of that picture."""

    left: int
    top: int
    side: int


class ReferenceWarp:
    """Warps one portrait to any number of target frames; what depends on the reference is done once."""

    def __init__(self, portrait: Portrait, size: int) -> None:
        self.size = size
        whole = Box(0, 0, len(portrait.image))
        image = crop_square(portrait.image, whole, size)
        person = np.clip(crop_square(portrait.person, whole, size), 0, 1)
        self._picture = np.dstack([image, np.round(person * 255).astype(np.uint8)])
        self._background = _fill_background(image, person)

        self._reference_landmarks = portrait.landmarks.astype(np.float64)
        self._reference_torso = portrait.torso.astype(np.float64)
        pose = fit_head_pose(self._reference_landmarks[None])[0]
        self._rings, self._ring_weights = _ring_points(self._reference_landmarks, self._reference_torso, pose)
        self._rings_canonical = to_canonical(self._rings, pose)
        self._border = _border_points()

        self._source = self.control_points(self._reference_landmarks[None], self._reference_torso[None])[0, :, :2]
        face = canonical_face().triangles
        self._outer = _outer_triangles(self._source, N_MESH)
        self._triangles = np.concatenate([self._outer, face])
        self._mouth = np.append(np.isin(self._triangles, INNER_LIPS).all(axis=1), False)
        # Painted in this order: hair, neck and body; the inside of the mouth; the face. Far to near in each.
        layer = np.repeat([0, 2], [len(self._outer), len(face)])
        self._layer = np.where(self._mouth[:-1], 1, layer)
        self._source_area = _signed_area(self._source[self._triangles])
        self._source_bounds = _bounds(self._source[self._triangles] * (size / FRAME), size)
        # Which way round a triangle that faces the camera goes. A closed mouth has no area to tell it from.
        self._winding = np.append(
            self._source_area[: len(self._outer)], _signed_area(canonical_face().vertices[face, :2])
        )

    def control_points(self, landmarks: np.ndarray, torso: np.ndarray) -> np.ndarray:
        """Mesh vertices for targets: landmarks (b, 478, 3), torso (b, 18, 3) -> (b, P, 3), square frame."""
        frames = len(landmarks)
        pose = fit_head_pose(landmarks)
        head = to_image(np.broadcast_to(self._rings_canonical, (frames, *self._rings_canonical.shape)), pose)
        body = self._rings + (torso - self._reference_torso).mean(axis=1, keepdims=True)
        rings = self._ring_weights[:, None] * head + (1 - self._ring_weights[:, None]) * body
        border = np.broadcast_to(self._border, (frames, *self._border.shape))
        return np.concatenate([landmarks[:, :N_MESH], rings, torso, border], axis=1)

    def warp(self, vertices: np.ndarray, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
        """One target's `control_points` (P, 3) -> picture (h, w, 3) uint8, validity (h, w) float32 in 0..1.

        window: the part to make, in pixels of the size x size picture; the whole without it.
        """
        left, top, side = window or (0, 0, self.size)
        index, inverse, validity = self._rasterise(vertices, left, top, side)
        grid_y, grid_x = np.mgrid[top : top + side, left : left + side].astype(np.float32)
        maps = inverse[index]
        map_x = maps[..., 0] * grid_x + maps[..., 1] * grid_y + maps[..., 2]
        map_y = maps[..., 3] * grid_x + maps[..., 4] * grid_y + maps[..., 5]
        # A sliver's map is steep, and polygons cover a little more than their area: stay in its source triangle.
        bounds = self._source_bounds[index]
        map_x = np.clip(map_x, bounds[..., 0], bounds[..., 2])
        map_y = np.clip(map_y, bounds[..., 1], bounds[..., 3])
        warped = cv2.remap(self._picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        known = validity[index]
        colour = warped[..., :3].astype(np.float32)
        unknown_mouth = (self._mouth[index] * (1 - known))[..., None]
        colour += unknown_mouth * (MOUTH_DARK - colour)
        alpha = warped[..., 3:].astype(np.float32) / 255.0
        picture = colour * alpha + self._background[top : top + side, left : left + side] * (1 - alpha)
        return np.round(picture).astype(np.uint8), known

    def _rasterise(
        self, vertices: np.ndarray, left: int, top: int, side: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Triangle index a pixel, and for each triangle the affine map back and its validity."""
        corners = vertices[self._triangles]
        area = _signed_area(corners[..., :2])
        facing = area * self._winding > 0
        inverse = _affine_maps(
            corners[..., :2] * (self.size / FRAME), self._source[self._triangles] * (self.size / FRAME)
        )
        validity = np.clip(np.abs(self._source_area) / np.maximum(np.abs(area), 1e-6), 0, 1).astype(np.float32)
        # Where no triangle lands (folds), the reference stays where it is and is marked unknown.
        inverse = np.concatenate([inverse, np.array([[1, 0, 0, 0, 1, 0]], np.float32)])
        validity = np.append(validity, np.float32(0))

        order = np.lexsort((-corners[..., 2].mean(axis=1), self._layer))
        index = np.full((side, side), len(corners), np.int32)
        polygons = to_subpixels(corners, self.size) - np.array([left, top], np.int32) * (1 << SUBPIXEL_BITS)
        limit = side << SUBPIXEL_BITS
        seen = facing & (polygons.max(axis=1) >= 0).all(axis=1) & (polygons.min(axis=1) <= limit).all(axis=1)
        for triangle in order[seen[order]]:
            cv2.fillConvexPoly(index, polygons[triangle], int(triangle), cv2.LINE_8, SUBPIXEL_BITS)
        return index, inverse, validity


def _ring_points(landmarks: np.ndarray, torso: np.ndarray, pose: HeadPose) -> tuple[np.ndarray, np.ndarray]:
    """Ring vertices (R, 3) and how much each follows the head (R,), the rest follows the body."""
    oval = landmarks[list(FACE_OVAL)]
    centre = oval.mean(axis=0)
    chin, height = landmarks[152, 1], np.ptp(oval[:, 1])
    neck = torso.reshape(2, SHOULDER_POINTS, 3)[:, 0, 1].min()
    points, weights = [], []
    for factor, depth in zip(RINGS, RING_DEPTHS, strict=True):
        ring = centre + factor * (oval - centre)
        ring[:, 2] = oval[:, 2] + pose.scale * depth
        below = np.clip((ring[:, 1] - (chin - 0.15 * height)) / (0.45 * height), 0, 1)
        inside = (ring[:, :2] > 2).all(axis=1) & (ring[:, :2] < FRAME - 2).all(axis=1)
        inside &= ring[:, 1] < max(neck, chin + 0.1 * height)
        points.append(ring[inside])
        weights.append(1.0 - below[inside])
    return np.concatenate(points), np.concatenate(weights)


def _border_points() -> np.ndarray:
    """Fixed vertices along the border of the square frame, (P, 3), pixels."""
    along = np.linspace(0, FRAME, BORDER_POINTS)
    edges = [np.stack([along, np.full_like(along, side)], -1) for side in (0, FRAME)]
    corners = np.unique(np.concatenate([*edges, *[edge[:, ::-1] for edge in edges]]), axis=0)
    return np.concatenate([corners, np.zeros((len(corners), 1))], axis=1)


def _outer_triangles(points: np.ndarray, first_outer: int) -> np.ndarray:
    """Delaunay triangles between the face oval and the border; none inside the face."""
    members = np.concatenate([np.array(FACE_OVAL), np.arange(first_outer, len(points))])
    local = Delaunay(points[members], qhull_options="QJ Qbb Qc").simplices
    inside = (local < len(FACE_OVAL)).all(axis=1)
    return members[local[~inside]]


def _signed_area(corners: np.ndarray) -> np.ndarray:
    """Twice the signed area of triangles (N, 3, 2) -> (N,)."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _bounds(corners: np.ndarray, size: int) -> np.ndarray:
    """Left, top, right, bottom of triangles (N, 3, 2) in pixel indices, and the whole picture as the last row."""
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1) - 0.5
    return np.concatenate([boxes, [[0.0, 0.0, size, size]]]).astype(np.float32)


def _affine_maps(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Affine maps that carry target triangles (N, 3, 2) onto source ones, for pixel centres -> (N, 6)."""
    edges = np.stack([target[:, 1] - target[:, 0], target[:, 2] - target[:, 0]], axis=2)
    determinant = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    determinant = np.where(np.abs(determinant) < 1e-9, 1e-9, determinant)
    adjugate = np.stack([edges[:, 1, 1], -edges[:, 0, 1], -edges[:, 1, 0], edges[:, 0, 0]], -1).reshape(-1, 2, 2)
    source_edges = np.stack([source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]], axis=2)
    linear = source_edges @ (adjugate / determinant[:, None, None])
    # Pixel i has its centre at i + 0.5 in frame coordinates: shift on both sides.
    offset = source[:, 0] - 0.5 - np.einsum("nij,nj->ni", linear, target[:, 0] - 0.5)
    maps = np.concatenate([linear[:, 0], offset[:, :1], linear[:, 1], offset[:, 1:]], axis=1)
    return np.clip(maps, -1e5, 1e5).astype(np.float32)


def _fill_background(image: np.ndarray, person: np.ndarray) -> np.ndarray:
    """The background with the person taken out and the gap filled from around, (H, H, 3) float32.

    The hole is wider than the mask: a rim of the person left behind would show as an outline as
    soon as the head moves away from it.
    """
    size = len(image)
    small = max(32, size // 4)
    picture = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    hole = (cv2.resize(person, (small, small), interpolation=cv2.INTER_AREA) > 0.05).astype(np.uint8)
    hole = cv2.dilate(hole, np.ones((3, 3), np.uint8), iterations=max(1, round(small * FILL_MARGIN)))
    if hole.all():
        return image.astype(np.float32)
    filled = cv2.resize(cv2.inpaint(picture, hole, 3, cv2.INPAINT_TELEA), (size, size), interpolation=cv2.INTER_CUBIC)
    weight = cv2.resize(cv2.erode(hole, np.ones((3, 3), np.uint8)).astype(np.float32), (size, size))[..., None]
    return filled.astype(np.float32) * weight + image.astype(np.float32) * (1 - weight)

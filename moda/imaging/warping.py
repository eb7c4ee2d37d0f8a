"""The reference picture, warped to target landmarks.

Inside the face oval it is piecewise affine over MediaPipe's 898 face triangles; around it hair, neck and clothes
follow a smooth field (`surroundings.py`). The background does not move at all: the person is cut out by the person
mask, warped, and laid over a background whose hidden part is filled in.

What the warp cannot know is marked: validity is the share of reference pixels behind a pixel.
It falls to 0 where a closed reference mouth opens.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from moda.geometry import fit_head_pose
from moda.imaging.crop import Box, crop_square
from moda.imaging.drawing import SUBPIXEL_BITS, to_subpixels
from moda.imaging.margin import margin_of, with_margin
from moda.imaging.mouth_texture import textured_triangles
from moda.imaging.surroundings import Surroundings, Target
from moda.landmarks import INNER_LIPS, N_MESH, canonical_face
from moda.representation import FRAME, HeadPose, Portrait

MOUTH_INSIDE_RGB = np.array([58.0, 26.0, 24.0], np.float32)
"""Colour of the inside of a mouth that the reference does not show, RGB."""
STEP_SHARE = 0.012
"""Pixels side by side that come from places so far apart, as a share of the picture's side, are the edge of what is
nearer before what is farther: it is smoothed there, as its triangles are drawn by whole pixels.
"""
LIP_STEP_SHARE = 0.005
"""The same where one of them is in the mouth and the other is not: a slit between lips is thinner than a pixel."""


class PixelBox(NamedTuple):
    """A part of a picture: left and top edge, width and height, pixels of that picture."""

    left: int
    top: int
    width: int
    height: int


class FrameTriangles(NamedTuple):
    """The face triangles of one frame. polygons: (N, 3, 2) corners in fixed-point pixels (`to_subpixels`). order: those
    that are seen, in the order of drawing. maps: (N, 2, 3), affine, back to the reference's pixels. bounds: (N, 2, 2),
    least and greatest x and y there. validity: (N,).
    """

    polygons: np.ndarray
    order: np.ndarray
    maps: np.ndarray
    bounds: np.ndarray
    validity: np.ndarray


class ReferenceWarp:
    """Warps one portrait to any number of target frames; what depends on the reference is done once."""

    def __init__(self, portrait: Portrait, size: int, fit: HeadPose | None = None) -> None:
        """fit: `fit_head_pose` of the portrait's landmarks, where it is at hand."""
        self.size = size
        whole = Box(0, 0, len(portrait.image))
        image = crop_square(portrait.image, whole, size)
        person = np.clip(crop_square(portrait.person, whole, size), 0, 1)
        landmarks, torso = portrait.landmarks.astype(np.float64), portrait.torso.astype(np.float64)
        self.pad = margin_of(size)
        self.picture, self.background = with_margin(image, person, landmarks, portrait.margin)
        self.surroundings = Surroundings(landmarks, torso, fit or fit_head_pose(landmarks[None])[0])
        grid = np.arange(size, dtype=np.float32)
        self._places = np.meshgrid(grid, grid)

        self._triangles, self._textured = canonical_face().triangles, textured_triangles()
        self.mouth = np.append(np.isin(self._triangles, INNER_LIPS).all(axis=1), False)
        # Which way round a triangle that faces the camera goes. A closed mouth has no area to tell it from.
        self._winding = _signed_area(canonical_face().vertices[self._triangles, :2])

    def targets(self, landmarks: np.ndarray, torso: np.ndarray, fit: HeadPose | None = None) -> list[Target]:
        """What `warp` is given, for frames of landmarks (b, 478, 3) and torso (b, 18, 3), square frame.

        fit: `fit_head_pose` of these landmarks, where it is at hand.
        """
        return self.surroundings.targets(landmarks, torso, fit or fit_head_pose(landmarks))

    def warp(self, target: Target, window: PixelBox | None = None) -> tuple[np.ndarray, np.ndarray]:
        """One of `targets` -> picture (h, w, 3) uint8, validity (h, w) float32 in 0..1.

        window: the part to make, in pixels of the size x size picture; the whole without it.
        """
        left, top, width, height = window = window or PixelBox(0, 0, self.size, self.size)
        part = slice(top, top + height), slice(left, left + width)
        field, share = self.surroundings.field(target, self.size)
        known = share[part].copy()
        maps = [self._places[axis][part] + field[part][..., axis] for axis in (0, 1)]
        index, found = self._rasterise(target, window)
        face = np.flatnonzero(index < len(self._triangles))
        triangle = index.ravel()[face]
        x, y = (self._places[axis][part].ravel()[face] for axis in (0, 1))
        for axis, places in enumerate(maps):
            a, b, c = (found.maps[:, axis, column][triangle] for column in range(3))
            least, most = (found.bounds[:, end, axis][triangle] for end in range(2))
            # A sliver's map is steep, and polygons cover a little more than their area: stay in its source triangle.
            places.ravel()[face] = np.minimum(np.maximum(a * x + b * y + c, least), most)
            places += self.pad
        known.ravel()[face] = found.validity[triangle]
        warped = cv2.remap(self.picture, maps[0], maps[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        colour = warped[..., :3].astype(np.float32)
        inside = self.mouth[index]
        mouth, pixels = np.flatnonzero(inside), colour.reshape(-1, 3)
        pixels[mouth] += (1 - known.ravel()[mouth])[:, None] * (MOUTH_INSIDE_RGB - pixels[mouth])
        alpha = warped[..., 3:].astype(np.float32) / 255.0
        picture = colour * alpha + self.background[part] * (1 - alpha)
        torn = _torn(maps[0], maps[1], inside, self.size)
        picture[torn] = cv2.GaussianBlur(picture, (3, 3), 0)[torn]
        return np.round(picture).astype(np.uint8), known

    def _rasterise(self, target: Target, window: PixelBox) -> tuple[np.ndarray, FrameTriangles]:
        """Triangle index a pixel (their number where there is none), and the triangles."""
        found = self.triangles(target)
        polygons, order = found.polygons, found.order
        index = np.full((window.height, window.width), len(polygons), np.int32)
        polygons = polygons - np.array(window[:2], np.int32) * (1 << SUBPIXEL_BITS)
        a, b, c = (polygons[:, corner] for corner in range(3))  # compared one by one: far quicker than a reduction
        inside = (np.maximum(np.maximum(a, b), c) >= 0).all(axis=1)
        inside &= (np.minimum(np.minimum(a, b), c) <= np.array(window[2:]) << SUBPIXEL_BITS).all(axis=1)
        order = order[inside[order]]
        for triangle, polygon in zip(order.tolist(), polygons[order], strict=True):
            cv2.fillConvexPoly(index, polygon, triangle, cv2.LINE_8, SUBPIXEL_BITS)
        return index, found

    def triangles(self, target: Target) -> FrameTriangles:
        """Where a frame puts the triangles."""
        vertices = target.landmarks[:N_MESH]
        corners = vertices[self._triangles]
        area = _signed_area(corners[..., :2])
        texture = target.texture[self._textured]
        source = texture * (self.size / FRAME)
        inverse = _affine_maps(corners[..., :2] * (self.size / FRAME), source)
        validity = np.clip(np.abs(_signed_area(texture)) / np.maximum(np.abs(area), 1e-6), 0, 1).astype(np.float32)

        # The inside of the mouth first, then the face; far to near in each.
        order = np.lexsort((-corners[..., 2].mean(axis=1), ~self.mouth[:-1]))
        seen = area * self._winding > 0
        polygons = to_subpixels(vertices, self.size)[self._triangles]
        return FrameTriangles(polygons, order[seen[order]], inverse, _bounds(source), validity)


def _signed_area(corners: np.ndarray) -> np.ndarray:
    """Twice the signed area of triangles (N, 3, 2) -> (N,)."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _torn(x: np.ndarray, y: np.ndarray, mouth: np.ndarray, size: int) -> np.ndarray:
    """Where neighbours of maps (h, w), pixels, are too far apart: (h, w) bool, both of them.

    mouth: (h, w), what is inside it. size: of the whole picture.
    """
    torn = np.zeros(x.shape, bool)
    for axis, one, other in ((1, torn[:, 1:], torn[:, :-1]), (0, torn[1:], torn[:-1])):
        step = np.maximum(np.abs(np.diff(x, axis=axis)), np.abs(np.diff(y, axis=axis)))
        found = step > np.where(np.diff(mouth, axis=axis), LIP_STEP_SHARE * size, STEP_SHARE * size)
        one |= found
        other |= found
    return torn


def _bounds(corners: np.ndarray) -> np.ndarray:
    """Least and greatest x and y of triangles (N, 3, 2) in pixel indices: (N, 2, 2)."""
    return (np.stack([corners.min(axis=1), corners.max(axis=1)], axis=1) - 0.5).astype(np.float32)


def _affine_maps(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Affine maps that carry target triangles (N, 3, 2) onto source ones, for pixel centres -> (N, 2, 3)."""
    edges = np.stack([target[:, 1] - target[:, 0], target[:, 2] - target[:, 0]], axis=2)
    determinant = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    determinant = np.where(np.abs(determinant) < 1e-9, 1e-9, determinant)
    adjugate = np.stack([edges[:, 1, 1], -edges[:, 0, 1], -edges[:, 1, 0], edges[:, 0, 0]], -1).reshape(-1, 2, 2)
    source_edges = np.stack([source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]], axis=2)
    linear = source_edges @ (adjugate / determinant[:, None, None])
    # Pixel i has its centre at i + 0.5 in frame coordinates: shift on both sides.
    offset = source[:, 0] - 0.5 - np.einsum("nij,nj->ni", linear, target[:, 0] - 0.5)
    return np.clip(np.concatenate([linear, offset[..., None]], axis=2), -1e5, 1e5).astype(np.float32)

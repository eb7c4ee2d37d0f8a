"""The 478 face landmarks: groups, contours, the rigid subset and the canonical face.

Indices are MediaPipe's (468 mesh points and 10 iris points). "Left" and "right" are the
subject's own. Group sizes are `len()` of the tuples here and are typed nowhere else.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np

N_LANDMARKS = 478
N_MESH = 468


def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


LEFT_IRIS_CENTRE, RIGHT_IRIS_CENTRE = 473, 468
LEFT_IRIS = _ids("474 475 476 477")
RIGHT_IRIS = _ids("469 470 471 472")
LEFT_EYE = _ids("249 263 362 373 374 380 381 382 384 385 386 387 388 390 398 466")
RIGHT_EYE = _ids("7 33 133 144 145 153 154 155 157 158 159 160 161 163 173 246")
LEFT_EYEBROW = _ids("276 282 283 285 293 295 296 300 334 336")
RIGHT_EYEBROW = _ids("46 52 53 55 63 65 66 70 105 107")

LIPS = _ids(
    "0 13 14 17 37 39 40 61 78 80 81 82 84 87 88 91 95 146 178 181 185 191 267 269 270 291 308 "
    "310 311 312 314 317 318 321 324 375 402 405 409 415"
)
EYES = LEFT_IRIS + LEFT_EYE + LEFT_EYEBROW + RIGHT_IRIS + RIGHT_EYE + RIGHT_EYEBROW
N_LIPS, N_EYES = len(LIPS), len(EYES)
IRIS_ROWS = [EYES.index(landmark) for landmark in (*LEFT_IRIS, *RIGHT_IRIS)]
"""Where the points of the irises are in the eyes group."""
BROW_ROWS = [EYES.index(landmark) for landmark in (*LEFT_EYEBROW, *RIGHT_EYEBROW)]
"""Where those of the brows are."""
OTHERS = sorted(set(range(N_LANDMARKS)) - set(LIPS) - set(EYES))
"""Points that are in no group, which stage 2 predicts. A list, as it indexes arrays."""

SHOULDER_POINTS = 9
N_TORSO = 2 * SHOULDER_POINTS
"""Torso points: nine along the subject's right shoulder (left in the picture), then nine along
the left one, each from the neck outwards."""

# Ordered contours; the first point is not repeated at the end of a closed one.
FACE_OVAL = _ids(
    "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 150 "
    "136 172 58 132 93 234 127 162 21 54 103 67 109"
)
OUTER_LIPS = _ids("61 185 40 39 37 0 267 269 270 409 291 375 321 405 314 17 84 181 91 146")
INNER_LIPS = _ids("78 191 80 81 82 13 312 311 310 415 308 324 318 402 317 14 87 178 88 95")
LEFT_EYE_CONTOUR = _ids("263 466 388 387 386 385 384 398 362 382 381 380 374 373 390 249")
RIGHT_EYE_CONTOUR = _ids("33 246 161 160 159 158 157 173 133 155 154 153 145 144 163 7")
LIDS = tuple((contour[1:8], contour[:8:-1]) for contour in (LEFT_EYE_CONTOUR, RIGHT_EYE_CONTOUR))
"""Of the left and of the right eye: seven points of the upper lid, and those of the lower lid that face them."""
UPPER_LID_ROWS, LOWER_LID_ROWS = ([EYES.index(point) for lids in LIDS for point in lids[side]] for side in (0, 1))
"""Where these points are in the eyes group: seven of the left eye, then seven of the right."""
UPPER_LID_SHARE = 0.85
"""Of the way between the lids that the upper one moves when they close."""
LEFT_EYEBROW_CONTOUR = _ids("276 283 282 295 285 336 296 334 293 300")
RIGHT_EYEBROW_CONTOUR = _ids("46 53 52 65 55 107 66 105 63 70")

INNER_LIP_PAIRS: tuple[tuple[int, int], ...] = (
    (191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324),
)  # fmt: skip
"""(upper, lower) inner-lip landmarks that face each other: their distance is the lip opening."""
OUTER_LIP_PAIRS: tuple[tuple[int, int], ...] = (
    (185, 146), (40, 91), (39, 181), (37, 84), (0, 17), (267, 314), (269, 405), (270, 321), (409, 375),
)  # fmt: skip
"""The outer-lip landmarks above and below the inner pairs, in the same order."""
CENTRAL_LIP_PAIRS = INNER_LIP_PAIRS[3:6]
LEFT_EYELID_PAIRS: tuple[tuple[int, int], ...] = ((385, 380), (386, 374), (387, 373))
RIGHT_EYELID_PAIRS: tuple[tuple[int, int], ...] = ((158, 153), (159, 145), (160, 144))
EYE_ENDS = ((133, 33), (362, 263))
"""Inner and outer corner of the right and the left eye."""
EYE_CORNERS = (33, 263)
"""Outer corners of the right and the left eye; their distance is the inter-ocular distance."""
INNER_CORNERS = (133, 362)
"""Inner corners of the right and the left eye."""


class CanonicalFace(NamedTuple):
    """The canonical face (MediaPipe), turned to the image's axes.

    vertices: (468, 3) pixels of the square frame at head scale 1, x right, y down, z away from
        the camera; the origin lies inside the head.
    triangles: (898, 3) vertex indices; the inside of the mouth and the eyes are covered.
    rigid: (33,) indices of landmarks that expression moves little.
    rigid_weights: (33,) their weights, summing to 1.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    rigid: np.ndarray
    rigid_weights: np.ndarray


PIXELS_PER_CM = 14.0
"""The canonical face is stored in centimetres; this many pixels of the square frame make a
centimetre at head scale 1, so a face in our crop has a scale near 1."""


@lru_cache(maxsize=1)
def canonical_face() -> CanonicalFace:
    """Load the canonical face from the package (Apache-2.0, see package_data/NOTICE)."""
    path = resources.files("moda") / "package_data" / "canonical_face.npz"
    with resources.as_file(path) as file, np.load(file) as data:
        vertices = data["xyz"].astype(np.float64) * PIXELS_PER_CM * np.array([1.0, -1.0, -1.0])
        weights = data["w"].astype(np.float64)
        return CanonicalFace(
            vertices, data["tri"].astype(np.int64), data["ids"].astype(np.int64), weights / weights.sum()
        )


@lru_cache(maxsize=1)
def other_side() -> tuple[int, ...]:
    """Of each of the 478 landmarks the one on the other side of the face."""
    vertices = canonical_face().vertices
    distances = np.linalg.norm(vertices[:, None] - vertices[None] * [-1, 1, 1], axis=-1)
    left, right = (LEFT_IRIS_CENTRE, *LEFT_IRIS), (RIGHT_IRIS_CENTRE, *RIGHT_IRIS)
    # an iris' points: centre, then to its right in the picture, above, left, below
    swapped = dict(zip(left, (right[i] for i in (0, 3, 2, 1, 4)), strict=True))
    irises = {**swapped, **{other: own for own, other in swapped.items()}}
    return (*map(int, distances.argmin(axis=1)), *(irises[i] for i in range(N_MESH, N_LANDMARKS)))


def lip_rows(pairs: tuple[tuple[int, int], ...]) -> tuple[list[int], list[int]]:
    """Rows in the lips group of the upper and the lower point of every pair."""
    return [LIPS.index(upper) for upper, _ in pairs], [LIPS.index(lower) for _, lower in pairs]


def lip_opening(landmarks: np.ndarray) -> np.ndarray:
    """Mean distance of the three central inner-lip pairs: (..., 478, D) -> (...), same unit."""
    upper = landmarks[..., [pair[0] for pair in CENTRAL_LIP_PAIRS], :]
    lower = landmarks[..., [pair[1] for pair in CENTRAL_LIP_PAIRS], :]
    return np.linalg.norm(upper - lower, axis=-1).mean(axis=-1)


def eye_opening(landmarks: np.ndarray) -> np.ndarray:
    """Mean eyelid distance over both eyes, as a share of eye width: (..., 478, D) -> (...)."""

    def aspect(pairs: tuple[tuple[int, int], ...], corners: tuple[int, int]) -> np.ndarray:
        lids = np.linalg.norm(
            landmarks[..., [p[0] for p in pairs], :] - landmarks[..., [p[1] for p in pairs], :], axis=-1
        )
        width = np.linalg.norm(landmarks[..., corners[0], :] - landmarks[..., corners[1], :], axis=-1)
        return lids.mean(axis=-1) / np.maximum(width, 1e-6)

    return 0.5 * (aspect(LEFT_EYELID_PAIRS, (362, 263)) + aspect(RIGHT_EYELID_PAIRS, (33, 133)))

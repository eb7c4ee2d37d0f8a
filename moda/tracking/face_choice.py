"""Which face of a picture: all are found, small ones too, counted by size, and the picture is turned upright for it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from moda.errors import FaceError
from moda.geometry import fit_head_pose
from moda.imaging.crop import crop_square, face_size, square_box, to_frame
from moda.representation import FRAME
from moda.tracking.face import FaceTracker
from moda.tracking.face_view import FaceView, look_at

MIN_FACE_PX = 64
"""A face narrower than this many pixels in the source is refused: enlarged, it has no detail to animate."""
SAME_FACE_OVERLAP = 0.5
"""Two meshes whose centres are closer than this share of the larger one's size are one face."""
SAME_MESH_DISTANCE = 0.25
"""Two meshes whose points are closer than this share of the face's size, in the mean, are of one face."""
MIN_DETECTION_PX = 16
"""What is found narrower than this many pixels is a pattern that passed for a face."""
MAX_TILE_LEVELS = 3
"""How many times the picture is looked at in smaller tiles."""
MAX_ROLL_DEGREES = 45.0
"""Degrees that an upright head leans at most."""
SURELY_UPRIGHT_PROBABILITY = 0.5
"""Least probability of an upright face with its landmarks in place for which the picture is not looked at turned."""
NOT_UPRIGHT = FaceView(hidden=0.0, upright=0.0)
QUARTERS = {3: "90 degrees clockwise", 1: "90 degrees counter-clockwise", 2: "180 degrees"}

log = logging.getLogger(__name__)


def upright_face(
    tracker: FaceTracker, image: np.ndarray, number: int, source: Path | str
) -> tuple[np.ndarray, np.ndarray]:
    """The picture (H, W, 3) uint8 RGB, turned if need be, and face `number` of it: (478, 3) in its pixels.

    Only a face that is not upright, or none at all, makes it look at the picture turned. Raises as `choose_face`.
    """
    faces = find_faces(tracker, image, number)
    if faces and (len(faces) < number or certainty(image, faces[number - 1]).upright > SURELY_UPRIGHT_PROBABILITY):
        return image, choose_face(faces, image, number, source)
    best, turned_by = SURELY_UPRIGHT_PROBABILITY, 0
    for quarters in QUARTERS:
        turned = np.ascontiguousarray(np.rot90(image, quarters))
        found = find_faces(tracker, turned, number)
        view = certainty(turned, found[number - 1]) if len(found) >= number else NOT_UPRIGHT
        if view.upright * (1 - view.hidden) > best:  # a wrong mesh has its mouth where there is none
            best, turned_by, faces = view.upright * (1 - view.hidden), quarters, found
    if turned_by:
        image = np.ascontiguousarray(np.rot90(image, turned_by))
        log.warning("%s: its face is not upright; the picture is turned by %s", source, QUARTERS[turned_by])
    return image, choose_face(faces, image, number, source)


def certainty(image: np.ndarray, face: np.ndarray) -> FaceView:
    """The estimates for a face (478, 3) of a picture; a head that leans far is not upright."""
    pose = fit_head_pose(face[None])[0]
    return NOT_UPRIGHT if abs(float(pose.rotation[2])) > MAX_ROLL_DEGREES else look_at(image, face, pose)


def choose_face(faces: list[np.ndarray], image: np.ndarray, number: int, source: Path | str) -> np.ndarray:
    """Face `number` of those of an (H, W, 3) uint8 RGB picture, 1 = the largest: (478, 3) in its pixels.

    Raises `FaceError` if there are none or fewer than that, or if it is under `MIN_FACE_PX` pixels wide.
    """
    height, width = image.shape[:2]
    if not faces:
        raise FaceError(f"no face found in {source} ({width}x{height}); wanted a whole one that looks at the camera")
    if number > len(faces):
        there = "one face" if len(faces) == 1 else f"{len(faces)} faces"
        raise FaceError(f"there is no face {number}: {there} found in {source}, counted by size, 1 the largest")
    chosen = faces[number - 1]
    face_width = float(np.ptp(chosen[:, 0]))
    if face_width < MIN_FACE_PX:
        raise FaceError(f"the face is {face_width:.0f} px wide, wanted at least {MIN_FACE_PX}: {source}")
    if len(faces) > 1:
        at = ", ".join(f"{value:.0f}" for value in chosen[:, :2].mean(axis=0))
        which = "the largest" if number == 1 else f"face {number} by size"
        log.info("%d faces in %s: %s is taken, at (%s), %.0f px wide", len(faces), source, which, at, face_width)
    return chosen


def find_faces(tracker: FaceTracker, image: np.ndarray, wanted: int = 1) -> list[np.ndarray]:
    """Faces, largest first, each once: (478, 3) in pixels of the (H, W, 3) picture.

    Looks into overlapping tiles as long as fewer than `wanted` are large enough (the detector sees
    128 x 128 pixels, so a face under a tenth of the picture escapes it, and a pattern may pass for one).
    """
    height, width = image.shape[:2]
    faces = distinct(tracker.faces(image))
    if len(faces) > 1:
        faces = [face for face in faces if seen_again(tracker, image, face)] or faces
    side = min(height, width) if height != width else min(height, width) // 2
    for _ in range(MAX_TILE_LEVELS):
        if sum(np.ptp(face[:, 0]) >= MIN_FACE_PX for face in faces) >= wanted or side < 2 * MIN_FACE_PX:
            break
        for left, top in _tiles(width, height, side):
            found = tracker.faces(image[top : top + side, left : left + side])
            meshes = [mesh + np.array([left, top, 0.0]) for mesh in found]
            faces += [mesh for mesh in meshes if seen_again(tracker, image, mesh)]
        faces = distinct(faces)
        side //= 2
    return faces


def distinct(faces: list[np.ndarray]) -> list[np.ndarray]:
    """The faces (478, 3), largest first, without those that lie on a larger one (tiles overlap) and specks."""
    kept: list[np.ndarray] = []
    for face in sorted(faces, key=lambda mesh: -float(face_size(mesh))):
        centre = face[:, :2].mean(axis=0)
        near = [
            np.linalg.norm(other[:, :2].mean(axis=0) - centre) < SAME_FACE_OVERLAP * face_size(other) for other in kept
        ]
        if not any(near) and np.ptp(face[:, 0]) >= MIN_DETECTION_PX:
            kept.append(face)
    return kept


def seen_again(tracker: FaceTracker, image: np.ndarray, face: np.ndarray) -> bool:
    """Whether a face (478, 3) is found in its own crop too: in parts of a picture patterns pass for faces."""
    height, width = image.shape[:2]
    box = square_box(face, width, height, over_border=True)
    square = crop_square(image, box, FRAME // 2)
    return nearest_face([mesh * 2 for mesh in tracker.faces(square)], to_frame(face, box)) is not None


def nearest_face(faces: list[np.ndarray], expected: np.ndarray) -> np.ndarray | None:
    """The one of several meshes (478, 3) that is the expected one, tracked again; None if none is."""

    def distance(mesh: np.ndarray) -> float:
        return float(np.linalg.norm((mesh - expected)[:, :2], axis=1).mean())

    best = min(faces, key=distance, default=None)
    return best if best is not None and distance(best) < SAME_MESH_DISTANCE * float(face_size(expected)) else None


def _tiles(width: int, height: int, side: int) -> list[tuple[int, int]]:
    """Corners of squares that cover the picture and overlap by half."""

    def starts(length: int) -> list[int]:
        count = max(1, -(-2 * (length - side) // side) + 1)
        return [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]

    return [(left, top) for top in starts(height) for left in starts(width)]

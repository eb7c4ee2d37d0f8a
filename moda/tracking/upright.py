"""A picture that lies on its side or upside down is turned until its face is upright.

The face tracker finds such faces too, but its mesh is often wrong there, and upside down always: eyes on the mouth.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from moda.geometry import fit_head_pose
from moda.tracking.face import FaceTracker
from moda.tracking.face_choice import choose_face, find_faces
from moda.tracking.face_view import FaceView, look_at

MAX_ROLL_DEGREES = 45.0
"""Degrees that an upright head leans at most."""
MIN_UPRIGHT_PROBABILITY = 0.5
"""How sure the network must be that a face is upright and its landmarks in place."""
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
    if faces and (len(faces) < number or certainty(image, faces[number - 1]).upright > MIN_UPRIGHT_PROBABILITY):
        return image, choose_face(faces, image, number, source)
    best, turned_by = MIN_UPRIGHT_PROBABILITY, 0
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
    """The look at a face (478, 3) of a picture; a head that leans far is not upright."""
    pose = fit_head_pose(face[None])[0]
    return NOT_UPRIGHT if abs(float(pose.rotation[2])) > MAX_ROLL_DEGREES else look_at(image, face, pose)

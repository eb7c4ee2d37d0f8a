"""Where the face is, from a few frames a second: the one crop of the clip."""

from __future__ import annotations

import numpy as np

from data_prepare.job import Job, Rejected, Step
from moda.media.crop import face_size, square_box
from moda.media.face_tracker import FaceTracker
from moda.media.video import read_frames
from moda.representation import FPS

EVERY = 5
"""One frame in so many is looked at."""
MAX_HEIGHT = 720
"""Taller pictures are looked at in this height."""
MAX_FACES = 3
MIN_FACE = 32.0
"""Smallest face worth keeping, source pixels (the larger of the mesh's width and height)."""


def choose_face(candidates: list[list[np.ndarray]]) -> list[np.ndarray]:
    """One face a frame out of several: the one that stays nearest to where the largest face is.

    candidates: for each frame its faces (478, 3), largest first. Frames without one are left out.
    """
    seen = [faces for faces in candidates if faces]
    if not seen:
        return []
    largest = max((face for faces in seen for face in faces), key=lambda face: float(face_size(face)))

    def middle(face: np.ndarray) -> np.ndarray:
        return 0.5 * (face[:, :2].min(axis=0) + face[:, :2].max(axis=0))

    def nearest(faces: list[np.ndarray], place: np.ndarray) -> np.ndarray:
        return min(faces, key=lambda face: float(np.linalg.norm(middle(face) - place)))

    near = [nearest(faces, middle(largest)) for faces in seen]
    place = np.median([middle(face) for face in near], axis=0)
    return [nearest(faces, place) for faces in seen]


def run(job: Job) -> None:
    """Track sparsely and place the crop by the medians over time."""
    info = job.info
    factor = min(1.0, MAX_HEIGHT / info.height)
    width, height = (max(2, round(side * factor)) for side in (info.width, info.height))
    shrunk = None if factor == 1.0 else (width, height)
    candidates = []
    with FaceTracker(video=False, max_faces=MAX_FACES) as tracker:
        for frame in read_frames(job.source, fps=FPS / EVERY, size=shrunk):
            candidates.append(tracker.faces(frame))
            job.tick(1)
    faces = choose_face(candidates)
    if not faces:
        raise Rejected(f"no face found in any of {len(candidates)} frames looked at")
    landmarks = np.stack(faces) * (info.width / width)
    size = float(np.median(face_size(landmarks)))
    if size < MIN_FACE:
        raise Rejected(f"the face is {size:.0f} pixels large in the source, wanted at least {MIN_FACE:g}")
    job.box = square_box(landmarks, info.width, info.height)


STEP = Step("scout", needs=("info",), makes=("box",), version=1, run=run)

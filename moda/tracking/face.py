"""Face landmarks by MediaPipe Face Mesh (attention model, 478 points; the model is inside the wheel)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from moda.imaging.crop import face_size

FAR_CROP_FACE_SIZES = 2.5
"""Side of the part of the picture around a small face, in sizes of the detector's box."""
MIN_PICTURE_SIDE_PX = 16
"""Smallest part of a picture in which it makes sense to look, pixels."""
PIXEL_CENTRE = np.array([0.5, 0.5, 0.0])
"""MediaPipe counts from the middle of the first pixel, this project from its corner (`moda.imaging.crop`):
without this, a face in a picture half as large lies half a pixel elsewhere."""


_POINT_BYTES, _TAG_PLACES, _TAGS = 17, [0, 1, 2, 7, 12], [0x0A, 0x0F, 0x0D, 0x15, 0x1D]


@contextlib.contextmanager
def native_stderr_muted() -> Iterator[None]:
    """Hide what MediaPipe's C++ code writes to the process's stderr; Python errors still raise."""
    sys.stderr.flush()
    saved = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


class FaceTracker:
    """Finds faces in pictures. Use as a context manager.

    video: follow the face from frame to frame (faster, steadier); else every picture is on its own.
    max_faces: look for so many faces; `track` still returns one, the largest.
    confidence: least score of the detector and of the follower, 0..1.

    The mesh's own detector needs a face of about a tenth of the picture; in single pictures (not
    `video`) where it finds none, the far-range detector looks for faces down to a twentieth.
    """

    def __init__(self, video: bool, max_faces: int = 1, confidence: float = 0.5) -> None:
        self._video, self._confidence = video, confidence
        self._far: Any = None
        with native_stderr_muted():
            from mediapipe.python.solutions.face_mesh import FaceMesh

            self._mesh = FaceMesh(
                static_image_mode=not video,
                max_num_faces=max_faces,
                refine_landmarks=True,
                min_detection_confidence=confidence,
                min_tracking_confidence=confidence,
            )
            self._mesh.process(np.zeros((64, 64, 3), np.uint8))  # the warnings come with the first picture ...
        self._seen = False

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the native graphs."""
        self._mesh.close()
        if self._far is not None:
            self._far.close()
            self._far = None

    def faces(self, frame: np.ndarray) -> list[np.ndarray]:
        """All faces of an (H, W, 3) uint8 RGB picture, largest first: (478, 3) float64 each.

        x, y in pixels of that picture; z in the same unit, away from the camera, 0 near the head's middle.
        """
        meshes = self._meshes(frame)
        if not meshes and not self._video:
            meshes = self._far_faces(frame)
        return sorted(meshes, key=lambda mesh: -float(face_size(mesh)))

    def _meshes(self, frame: np.ndarray) -> list[np.ndarray]:
        side = max(frame.shape[:2])
        picture = frame
        if frame.shape[:2] != (side, side):  # the native code distorts turned faces in other shapes
            picture = np.zeros((side, side, 3), np.uint8)
            picture[: frame.shape[0], : frame.shape[1]] = frame
        with contextlib.nullcontext() if self._seen else native_stderr_muted():  # ... and the first face
            found = self._mesh.process(np.ascontiguousarray(picture)).multi_face_landmarks
        self._seen = self._seen or bool(found)
        return [_points(face) * side + PIXEL_CENTRE for face in found or ()]

    def _far_faces(self, frame: np.ndarray) -> list[np.ndarray]:
        """Detect small faces, then look for the mesh in the surroundings of each."""
        with native_stderr_muted():
            if self._far is None:
                from mediapipe.python.solutions.face_detection import FaceDetection

                self._far = FaceDetection(model_selection=1, min_detection_confidence=self._confidence)
            found = self._far.process(np.ascontiguousarray(frame)).detections
        height, width = frame.shape[:2]
        meshes = []
        for detection in found or ():
            share = detection.location_data.relative_bounding_box
            centre = (share.xmin + share.width / 2) * width, (share.ymin + share.height / 2) * height
            reach = FAR_CROP_FACE_SIZES / 2 * max(share.width * width, share.height * height)
            left, right = (int(np.clip(centre[0] + sign * reach, 0, width)) for sign in (-1, 1))
            top, bottom = (int(np.clip(centre[1] + sign * reach, 0, height)) for sign in (-1, 1))
            if min(right - left, bottom - top) >= MIN_PICTURE_SIDE_PX:
                near = self._meshes(frame[top:bottom, left:right])
                meshes += [mesh + np.array([left, top, 0.0]) for mesh in near[:1]]
        return meshes

    def track(self, frame: np.ndarray) -> np.ndarray | None:
        """The (largest) face of an (H, W, 3) uint8 RGB picture: (478, 3) as in `faces`, or None."""
        faces = self.faces(frame)
        return faces[0] if faces else None


def _points(face: Any) -> np.ndarray:
    """(N, 3) of a NormalizedLandmarkList, from its wire format: ten times faster than through 478 Python objects.

    A landmark with x, y and z alone is 17 bytes there: two of the list, then a tag and a float32 each.
    """
    raw = np.frombuffer(face.SerializeToString(), np.uint8)
    points = raw.reshape(-1, _POINT_BYTES) if raw.size % _POINT_BYTES == 0 else raw[None]
    if len(points) != len(face.landmark) or (points[:, _TAG_PLACES] != _TAGS).any():
        return np.array([(point.x, point.y, point.z) for point in face.landmark], np.float64)
    return np.stack([points[:, start : start + 4].copy().view("<f4")[:, 0] for start in (3, 8, 13)], 1).astype(float)

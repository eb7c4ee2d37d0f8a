"""Face landmarks by MediaPipe Face Mesh (attention model, 478 points; the model is inside the wheel)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import TracebackType

import numpy as np

from moda.media.crop import face_size


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
    """

    def __init__(self, video: bool, max_faces: int = 1, confidence: float = 0.5) -> None:
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the native graph."""
        self._mesh.close()

    def faces(self, frame: np.ndarray) -> list[np.ndarray]:
        """All faces of an (H, W, 3) uint8 RGB picture, largest first: (478, 3) float64 each.

        x, y in pixels of that picture; z in the same unit, away from the camera, 0 near the head's middle.
        """
        side = max(frame.shape[:2])
        picture = frame
        if frame.shape[:2] != (side, side):  # the native code distorts turned faces in other shapes
            picture = np.zeros((side, side, 3), np.uint8)
            picture[: frame.shape[0], : frame.shape[1]] = frame
        with contextlib.nullcontext() if self._seen else native_stderr_muted():  # ... and the first face
            found = self._mesh.process(np.ascontiguousarray(picture)).multi_face_landmarks
        self._seen = self._seen or bool(found)
        meshes = [np.array([(p.x, p.y, p.z) for p in face.landmark], np.float64) * side for face in found or ()]
        return sorted(meshes, key=lambda mesh: -float(face_size(mesh)))

    def track(self, frame: np.ndarray) -> np.ndarray | None:
        """The (largest) face of an (H, W, 3) uint8 RGB picture: (478, 3) as in `faces`, or None."""
        faces = self.faces(frame)
        return faces[0] if faces else None


def detect_faces(image: np.ndarray, max_faces: int = 8) -> list[np.ndarray]:
    """Faces of one (H, W, 3) uint8 RGB picture, largest first: (478, 3) each, as in `FaceTracker.faces`."""
    with FaceTracker(video=False, max_faces=max_faces) as tracker:
        return tracker.faces(image)

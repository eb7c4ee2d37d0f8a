"""Face landmarks by MediaPipe's FaceLandmarker with the attention mesh of package_data/face_landmarker.task.

The mesh is the one of MediaPipe's former FaceMesh solution (478 points), so clips prepared with that one fit;
benchmarks/tracker_models.py makes the file.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from moda.imaging.crop import face_size
from moda.tracking.native import model_options, native_image, native_stderr_muted, vision_tasks

MIN_CONFIDENCE = 0.5
"""Least score of the detector and of the follower, 0..1."""
FAR_CROP_FACE_SIZES = 2.5
"""Side of the part of the picture around a small face, in sizes of the detector's box."""
MIN_PICTURE_SIDE_PX = 16
"""Smallest part of a picture in which it makes sense to look, pixels."""
PIXEL_CENTRE = np.array([0.5, 0.5, 0.0])
"""MediaPipe counts from the middle of the first pixel, this project from its corner (`moda.imaging.crop`):
without this, a face in a picture half as large lies half a pixel elsewhere."""
FRAME_STEP_MS = 10**9
"""Time from frame to frame as told to MediaPipe in video mode. Its smoothing filter delays the points by 0.4 frames
at the true rate; over a step this long it takes the new points as they are."""


class FaceTracker:
    """Finds faces in pictures. Use as a context manager.

    video: follow the face from frame to frame (faster, steadier); else every picture is on its own.
    max_faces: look for so many faces; `track` still returns one, the largest.

    The mesh's own detector needs a face of about a tenth of the picture; in single pictures (not
    `video`) where it finds none, the far-range detector looks for faces down to a twentieth.
    """

    def __init__(self, video: bool, max_faces: int = 1) -> None:
        self._video = video
        self._far: Any = None
        self._time_ms = 0
        self._seen = False
        with native_stderr_muted():
            vision = vision_tasks()
            options = vision.FaceLandmarkerOptions(
                base_options=model_options("face_landmarker.task"),
                running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
                num_faces=max_faces,
                min_face_detection_confidence=MIN_CONFIDENCE,
                min_face_presence_confidence=MIN_CONFIDENCE,
                min_tracking_confidence=MIN_CONFIDENCE,
            )
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
            self._landmarks(np.zeros((64, 64, 3), np.uint8))  # the warnings come with the first picture ...

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the native graphs."""
        with native_stderr_muted():
            self._landmarker.close()
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
            found = self._landmarks(picture)
        self._seen = self._seen or bool(found)
        points = [np.array([(point.x, point.y, point.z) for point in face], np.float64) for face in found]
        return [face * side + PIXEL_CENTRE for face in points]

    def _landmarks(self, picture: np.ndarray) -> list[Any]:
        """Faces of a picture in MediaPipe's records, shares of its side."""
        image = native_image(picture)
        if not self._video:
            return list(self._landmarker.detect(image).face_landmarks)
        self._time_ms += FRAME_STEP_MS
        return list(self._landmarker.detect_for_video(image, self._time_ms).face_landmarks)

    def _far_faces(self, frame: np.ndarray) -> list[np.ndarray]:
        """Detect small faces, then look for the mesh in the surroundings of each."""
        with native_stderr_muted():
            if self._far is None:
                vision = vision_tasks()
                options = vision.FaceDetectorOptions(
                    base_options=model_options("face_detector_far.tflite"), min_detection_confidence=MIN_CONFIDENCE
                )
                self._far = vision.FaceDetector.create_from_options(options)
            found = self._far.detect(native_image(frame)).detections
        height, width = frame.shape[:2]
        meshes = []
        for detection in found:
            box = detection.bounding_box  # pixels
            centre = box.origin_x + box.width / 2, box.origin_y + box.height / 2
            reach = FAR_CROP_FACE_SIZES / 2 * max(box.width, box.height)
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

"""CSIM: does the face stay that of the same person, by a face recogniser that the user names?

A `.dat` file is dlib's network (package dlib-bin; the file is in face-recognition-models, CC0); any other file is
TorchScript from aligned faces (N, 3, 112, 112) in -1..1 to (N, D), as ArcFace's networks are.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from skimage.transform import SimilarityTransform, warp

from moda.errors import CheckpointError, ConfigError
from moda.landmarks import LEFT_EYE, RIGHT_EYE
from moda.metrics.registry import ClipPair, MetricSettings, NotAvailable, Value, metric, not_asked
from moda.metrics.scripted import named, run
from moda.representation import FRAME

FRAME_STEP = 10
"""Every so many frames one is compared."""
ALIGNED_SIDE_PX = 112
ALIGNED_POINTS = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])
"""Where ArcFace's alignment puts the right eye, the left eye, the tip of the nose and both corners of the mouth, px."""
NOSE_TIP, MOUTH_CORNERS = 1, (61, 291)
DLIB_POINTS = (263, 362, 33, 133, 2)
"""Landmarks at the five points of dlib's alignment: corners of the left and the right eye, foot of the nose."""
DLIB_SIDE_PX, DLIB_PADDING = 150, 0.25
DLIB_SUFFIX = ".dat"
WANTED = "a face recogniser as TorchScript: faces (N, 3, 112, 112) in -1..1 to (N, D)"


def recogniser(settings: MetricSettings) -> str:
    """Which network compares, for the header."""
    path = settings.face_weights
    return named(path, "dlib's" if path is not None and path.suffix == DLIB_SUFFIX else "network")


@metric(
    name="csim", label="CSIM", unit="cosine", better="higher", digits=3, source="usual definition",
    needs=("tracks", "pictures"), variant=recogniser,
)  # fmt: skip
def identity_similarity(clip: ClipPair) -> Value:
    """Mean over every 10th frame of the cosine of a face recogniser's values of the generated and the true face, each
    aligned by its landmarks. Values of two networks cannot be compared: dlib's are above 0.8 for any two people.
    """
    path = clip.settings.face_weights
    if path is None:
        return not_asked("--face-weights FILE")
    pictures, pair = clip.pictures, clip.tracks
    assert not isinstance(pictures, NotAvailable)  # they are needed, so they are there
    cosines = []
    frames = zip(pictures.true(FRAME_STEP), pictures.generated(FRAME_STEP), strict=False)
    for index, (true, generated) in enumerate(frames):
        frame = index * FRAME_STEP
        if pair.valid[frame]:
            one = face_values(path, true, pair.true.landmarks[frame])
            two = face_values(path, generated, pair.generated.landmarks[frame])
            cosines.append(float(one @ two / (np.linalg.norm(one) * np.linalg.norm(two))))
    return float(np.mean(cosines)) if cosines else NotAvailable("no frame with a face in both videos")


def face_values(path: Path, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(D,) values of the face at `landmarks` (478, 3) in a picture (512, 512, 3); raises `CheckpointError`."""
    if path.suffix == DLIB_SUFFIX:
        return _dlib_values(path, picture, landmarks)
    face = aligned(picture, landmarks).astype(np.float32) * 2 - 1
    return run(path, face.transpose(2, 0, 1)[None].copy(), WANTED)[0]


def aligned(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face (112, 112, 3) in 0..1 by ArcFace's alignment."""
    points = np.stack(
        [
            *(landmarks[list(eye), :2].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE)),
            landmarks[NOSE_TIP, :2],
            *(landmarks[corner, :2] for corner in MOUTH_CORNERS),
        ]
    )
    fitted = SimilarityTransform.from_estimate(ALIGNED_POINTS, points)
    side = (ALIGNED_SIDE_PX, ALIGNED_SIDE_PX)
    return np.asarray(warp(picture, fitted, output_shape=side, order=1, mode="edge"))


def _dlib_values(path: Path, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    dlib, network = _dlib(path)
    points = dlib.points()
    for x, y in landmarks[list(DLIB_POINTS), :2]:
        points.append(dlib.point(round(float(x)), round(float(y))))
    found = dlib.full_object_detection(dlib.rectangle(0, 0, FRAME, FRAME), points)
    chip = dlib.get_face_chip(np.ascontiguousarray(picture), found, size=DLIB_SIDE_PX, padding=DLIB_PADDING)
    return np.array(network.compute_face_descriptor(chip), np.float64)


@lru_cache(maxsize=1)
def _dlib(path: Path) -> tuple[Any, Any]:
    try:
        import dlib
    except ImportError as error:
        raise ConfigError("dlib is not installed: pip install 'moda[faces]', or name a TorchScript network") from error
    try:
        return dlib, dlib.face_recognition_model_v1(str(path))
    except RuntimeError as error:
        raise CheckpointError(f"{path} is not dlib's face recogniser: {error}") from error

"""The face as SyncNet wants to see it: the crop of its published pipeline, about landmarks.

The pipeline (github.com/joonson/syncnet_python, run_pipeline.py) detects a box with S3FD in every frame,
s half its longer side, (x, y) its centre; a median over 13 frames steadies all three; then it cuts from
x - 1.4 s to x + 1.4 s and from y - s to y + 1.8 s (crop_scale 0.40: the picture reaches below the chin), fills
with grey 110 beyond the picture and scales to 224 x 224. Here the box is the bounding box of the 468 points of
the face mesh: forehead to chin and cheek to cheek, what the labels of WIDER FACE, on which S3FD was trained,
enclose. The pipeline's two lossy encodings of the crop (XVID, JPEG) are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from scipy.signal import medfilt

from moda.landmarks import N_MESH

CROP_SIDE_PX = 224
BOX_MARGIN_SHARE = 0.40
MEDIAN_FRAMES = 13
BORDER_GREY_LEVEL = 110


def face_boxes(landmarks: np.ndarray) -> np.ndarray:
    """(T, 478, 2 or 3) -> (T, 3): centre x, centre y and half the longer side of the mesh's box, same unit.

    Rows without a face (NaN) get what lies between their neighbours', at the ends the nearest one's.
    Not yet steadied. Raises ValueError if no row has a face.
    """
    points = np.asarray(landmarks, np.float64)[:, :N_MESH, :2]
    low, high = points.min(axis=1), points.max(axis=1)  # NaN where a frame has no face
    boxes = np.concatenate([(low + high) / 2, (high - low).max(axis=1, keepdims=True) / 2], axis=1)
    known = np.isfinite(boxes).all(axis=1)
    if not known.any():
        raise ValueError("no frame with a face")
    time = np.arange(len(boxes))
    return np.stack([np.interp(time, time[known], values[known]) for values in boxes.T], axis=1)


def steady(boxes: np.ndarray) -> np.ndarray:
    """(T, 3) -> (T, 3): median over 13 frames; the ends are padded with zeros, as the published pipeline's. T >= 13."""
    return np.stack([medfilt(values, MEDIAN_FRAMES) for values in boxes.T], axis=1)


def sync_crops(frames: Iterable[np.ndarray], boxes: np.ndarray) -> Iterator[np.ndarray]:
    """RGB uint8 frames (H, W, 3) and their steady boxes (T, 3), pixels of these frames -> RGB uint8 (224, 224, 3).

    Ends with the shorter of the two. Raises ValueError for a box of no size.
    """
    for frame, box in zip(frames, boxes, strict=False):
        yield _crop(frame, box)


def _crop(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    x, y, half = box
    if not half >= 1:
        raise ValueError(f"a face box of half side {half} px cannot be cut")
    border = int(half * (1 + 2 * BOX_MARGIN_SHARE))
    padded = cv2.copyMakeBorder(
        frame,
        border,
        border,
        border,
        border,
        cv2.BORDER_CONSTANT,
        value=(BORDER_GREY_LEVEL, BORDER_GREY_LEVEL, BORDER_GREY_LEVEL),
    )
    top, bottom = int(y + border - half), int(y + border + half * (1 + 2 * BOX_MARGIN_SHARE))
    left, right = int(x + border - half * (1 + BOX_MARGIN_SHARE)), int(x + border + half * (1 + BOX_MARGIN_SHARE))
    cut = padded[max(top, 0) : bottom, max(left, 0) : right]
    if cut.size == 0:  # a face outside the picture: nothing of it is seen
        return np.full((CROP_SIDE_PX, CROP_SIDE_PX, 3), BORDER_GREY_LEVEL, np.uint8)
    return cv2.resize(cut, (CROP_SIDE_PX, CROP_SIDE_PX), interpolation=cv2.INTER_LINEAR)

"""Shoulders without a body model: the upper edge of the person mask below the chin.

MediaPipe's pose model guesses shoulders outside a tight crop with high confidence, so it is not
used. The person mask comes from the selfie segmentation model that is inside the wheel.
"""

from __future__ import annotations

from types import TracebackType

import cv2
import numpy as np

from moda.landmarks import FACE_OVAL, N_TORSO, SHOULDER_POINTS
from moda.media.face_tracker import native_stderr_muted
from moda.representation import FRAME

MODEL_SIDE = 256
"""The segmentation model's own input size; larger pictures only cost time."""
COLUMNS = 64
"""Columns of the mask that are looked at, a shoulder."""


class PersonSegmenter:
    """Tells person from background. Use as a context manager."""

    def __init__(self) -> None:
        with native_stderr_muted():
            from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

            self._model = SelfieSegmentation(model_selection=0)
            self._model.process(np.zeros((64, 64, 3), np.uint8))  # the warnings come with the first picture

    def __enter__(self) -> PersonSegmenter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the native graph."""
        self._model.close()

    def small_mask(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (256, 256) float32 in 0..1, the model's own resolution."""
        picture = frame
        if frame.shape[:2] != (MODEL_SIDE, MODEL_SIDE):
            shrinking = min(frame.shape[:2]) >= MODEL_SIDE
            picture = cv2.resize(
                frame, (MODEL_SIDE, MODEL_SIDE), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            )
        picture = np.ascontiguousarray(picture)
        mask = self._model.process(picture).segmentation_mask
        return np.clip(np.array(mask, np.float32), 0.0, 1.0)

    def mask(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) float32: 1 person, 0 background."""
        height, width = frame.shape[:2]
        return cv2.resize(self.small_mask(frame), (width, height), interpolation=cv2.INTER_LINEAR)


def _upper_edge(mask: np.ndarray, columns: np.ndarray, floor: int) -> np.ndarray:
    """Where the person begins, going up from the bottom, in each column.

    mask: (H, W). columns: (K,) column numbers. floor: the first row below which to start looking.
    Returns (K,) rows with a fraction (mask = 1/2); NaN where the column holds no person below `floor`.
    """
    height = mask.shape[0]
    strips = mask[:, columns]
    person = strips >= 0.5
    rows = np.arange(height)[:, None]
    lowest = np.where(person, rows, -1).max(axis=0)
    gap_above = ~person & (rows < lowest)
    top = np.where(gap_above, rows, -1).max(axis=0) + 1  # the first person row of the lowest run
    inside = strips[np.minimum(top, height - 1), np.arange(len(columns))]
    outside = np.where(top > 0, strips[np.maximum(top - 1, 0), np.arange(len(columns))], inside)
    step = np.maximum(inside - outside, 1e-6)
    edge = np.where(top > 0, top - np.clip((inside - 0.5) / step, 0.0, 1.0) + 0.5, 0.0)
    return np.where((lowest >= floor) & (lowest >= 0.8 * height), edge, np.nan)


def _resample(line: np.ndarray, points: int) -> np.ndarray:
    """(K, 2) polyline -> (points, 2), equally spaced along its length; both ends are kept."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0.0, length[-1], points)
    return np.stack([np.interp(at, length, line[:, axis]) for axis in (0, 1)], axis=1)


def _median(values: np.ndarray, reach: int = 4) -> np.ndarray:
    """Running median, window 2 * reach + 1, edges repeated."""
    padded = np.pad(values, reach, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=-1)


def shoulder_points(mask: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Nine points along each shoulder, from the neck outwards.

    mask: (H, H) person mask of the square frame, any resolution. landmarks: (478, 3) pixels of the
    square frame; they give the neck's place and the face's size, so hand in steady ones.
    Returns (18, 3) float64, pixels of the square frame: the shoulder at the picture's left first;
    z is the landmarks' mean depth. Where the mask shows no shoulder (hair, out of the picture) the
    line is a plain slope fitted to what is seen; never NaN.
    """
    scale = FRAME / mask.shape[0]
    oval = landmarks[list(FACE_OVAL), :2]
    left, right = oval[:, 0].min(), oval[:, 0].max()
    width, height = right - left, oval[:, 1].max() - oval[:, 1].min()
    centre, chin = 0.5 * (left + right), oval[:, 1].max()
    neck_y, reach, drop = chin + 0.15 * height, 1.15 * width, 0.55 * height
    points = np.empty((N_TORSO, 3))
    points[:, 2] = landmarks[:, 2].mean()
    for index, side in enumerate((-1.0, 1.0)):
        distance = np.linspace(0.42 * width, 0.42 * width + reach, COLUMNS)
        x = centre + side * distance
        prior = neck_y + drop * (distance - distance[0]) / reach
        columns = np.floor(x / scale).astype(int)
        visible = (columns >= 0) & (columns < mask.shape[1])
        edge = np.full(COLUMNS, np.nan)
        floor = int(min((chin + 0.1 * height) / scale, 0.95 * mask.shape[0]))
        edge[visible] = _upper_edge(mask, columns[visible], floor) * scale
        # A run that goes on above the chin is hair or a hand; one that starts far below is an arm.
        seen = np.isfinite(edge) & (edge > chin + 0.02 * height) & (edge < chin + 1.1 * height)
        y = _complete(prior, edge, seen)
        line = np.stack([x, np.maximum(y, chin)], axis=1)
        last = int(np.flatnonzero(seen)[-1]) if seen.sum() >= COLUMNS // 8 else COLUMNS - 1
        block = slice(index * SHOULDER_POINTS, (index + 1) * SHOULDER_POINTS)
        points[block, :2] = _resample(line[: last + 1], SHOULDER_POINTS)
    return points


def _complete(prior: np.ndarray, edge: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Fill the columns without evidence: the prior slope, moved to meet the nearest evidence."""
    if seen.sum() < COLUMNS // 8:
        return prior
    where = np.flatnonzero(seen)
    values = _median(edge[where])
    shift = np.interp(np.arange(len(prior)), where, values - prior[where])
    return prior + shift

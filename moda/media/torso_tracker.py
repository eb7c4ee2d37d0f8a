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
ENOUGH = COLUMNS // 8
"""Columns that must show a shoulder for it to be believed."""
LOWEST = 0.8
"""A column's person must reach down to this share of the picture's height."""


class PersonSegmenter:
    """Tells person from background. Use as a context manager."""

    def __init__(self) -> None:
        with native_stderr_muted():
            from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

            self._model = SelfieSegmentation(model_selection=0)
            self._model.process(np.zeros((64, 64, 3), np.uint8))  # the warnings come with the first picture

    def __enter__(self) -> PersonSegmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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


def upper_edge(mask: np.ndarray) -> np.ndarray:
    """Where the person begins in each column, going up from the bottom of the picture.

    mask: (H, H) person mask of the square frame, any resolution. Returns (H,) float32, pixels of the
    square frame (where the mask crosses 1/2, between rows); NaN in a column without a person at the
    bottom. All that `shoulder_points` needs of a mask, in a hundredth of the space.
    """
    height = mask.shape[0]
    person = mask >= 0.5
    lowest = height - 1 - np.argmax(person[::-1], axis=0)
    rows = np.arange(height)[:, None]
    gap_above = ~person & (rows < lowest)
    top = height - np.argmax(gap_above[::-1], axis=0)  # the first person row of the lowest run
    top = np.where(gap_above.any(axis=0), top, 0)
    columns = np.arange(mask.shape[1])
    inside, outside = mask[np.minimum(top, height - 1), columns], mask[np.maximum(top - 1, 0), columns]
    share = np.clip((inside - 0.5) / np.maximum(inside - outside, 1e-6), 0.0, 1.0)
    edge = np.where(top > 0, top + 0.5 - share, 0.0)
    seen = person.any(axis=0) & (lowest >= LOWEST * height)
    return np.where(seen, edge * (FRAME / height), np.nan).astype(np.float32)


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
    return shoulders_from_edge(upper_edge(mask), landmarks)


def shoulders_from_edge(upper: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The same from what `upper_edge` made of the mask: (H,) and (478, 3) -> (18, 3)."""
    scale = FRAME / len(upper)
    oval = landmarks[list(FACE_OVAL), :2]
    left, right = oval[:, 0].min(), oval[:, 0].max()
    width, height = right - left, oval[:, 1].max() - oval[:, 1].min()
    centre, chin = 0.5 * (left + right), oval[:, 1].max()
    reach, drop = 1.15 * width, 0.55 * height
    points = np.empty((N_TORSO, 3))
    points[:, 2] = landmarks[:, 2].mean()
    for index, side in enumerate((-1.0, 1.0)):
        distance = np.linspace(0.42 * width, 0.42 * width + reach, COLUMNS)
        x = centre + side * distance
        slope = chin + 0.15 * height + drop * (distance - distance[0]) / reach
        columns = np.floor(x / scale).astype(int)
        visible = (columns >= 0) & (columns < len(upper))
        edge = np.full(COLUMNS, np.nan)
        edge[visible] = upper[columns[visible]]
        # A run that goes on above the chin is hair or a hand; one that starts far below is an arm.
        seen = np.isfinite(edge) & (edge > chin + 0.02 * height) & (edge < chin + 1.1 * height)
        line = np.stack([x, np.maximum(_complete(slope, edge, seen), chin)], axis=1)
        last = int(np.flatnonzero(seen)[-1]) if seen.sum() >= ENOUGH else COLUMNS - 1
        block = slice(index * SHOULDER_POINTS, (index + 1) * SHOULDER_POINTS)
        points[block, :2] = _resample(line[: last + 1], SHOULDER_POINTS)
    return points


def _complete(slope: np.ndarray, edge: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Fill the columns without evidence: the plain slope, moved to meet the nearest evidence."""
    if seen.sum() < ENOUGH:
        return slope
    where = np.flatnonzero(seen)
    shift = np.interp(np.arange(len(slope)), where, _median(edge[where]) - slope[where])
    return slope + shift

"""Shoulders without a body model: the upper edge of the person mask below the chin.

MediaPipe's pose model guesses shoulders outside a tight crop with high confidence, so it is not
used. The person mask comes from MediaPipe's selfie segmentation model (package_data/person_segmenter.tflite).
"""

from __future__ import annotations

import cv2
import numpy as np

from moda.imaging.crop import resized
from moda.landmarks import FACE_OVAL, N_TORSO, SHOULDER_POINTS
from moda.representation import FRAME
from moda.tracking.native import model_options, native_image, native_stderr_muted, vision_tasks

MODEL_SIDE_PX = 256
"""The segmentation model's own input size; larger pictures only cost time."""
SHOULDER_COLUMNS = 64
"""Columns of the mask that are looked at, a shoulder."""
MIN_SHOULDER_COLUMNS = SHOULDER_COLUMNS // 8
"""Columns that must show a shoulder for it to count as seen."""
ROBUST_FIT_ROUNDS, FULL_WEIGHT_PX = 5, 1.0
"""Rounds of the robust line through a shoulder's motion, and the pixels within which a column counts in full."""
TILT_STIFFNESS = 0.05
"""How much a tilt has to explain: little, where a shoulder is seen along its length."""
MAX_DEVIATIONS, MIN_REACH_PX = 4.0, 8.0
"""How far from its median a shoulder may move: so many median distances from it, and at least so many pixels."""
MIN_BOTTOM_SHARE = 0.8
"""A column's person must reach down to this share of the picture's height."""


class PersonSegmenter:
    """Tells person from background. Use as a context manager."""

    def __init__(self) -> None:
        with native_stderr_muted():
            vision = vision_tasks()
            options = vision.ImageSegmenterOptions(
                base_options=model_options("person_segmenter.tflite"), output_confidence_masks=True
            )
            self._model = vision.ImageSegmenter.create_from_options(options)
            self._model.segment(native_image(np.zeros((64, 64, 3), np.uint8)))  # the warnings come with the first one

    def __enter__(self) -> PersonSegmenter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the native graph."""
        with native_stderr_muted():
            self._model.close()

    def small_mask(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (256, 256) float32 in 0..1, the model's own resolution."""
        picture = frame
        if frame.shape[:2] != (MODEL_SIDE_PX, MODEL_SIDE_PX):
            picture = resized(frame, (MODEL_SIDE_PX, MODEL_SIDE_PX))
        mask = self._model.segment(native_image(picture)).confidence_masks[0].numpy_view()
        return np.clip(np.array(mask, np.float32).reshape(MODEL_SIDE_PX, MODEL_SIDE_PX), 0.0, 1.0)

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
    seen = person.any(axis=0) & (lowest >= MIN_BOTTOM_SHARE * height)
    return np.where(seen, edge * (FRAME / height), np.nan).astype(np.float32)


def _resample(line: np.ndarray, points: int) -> np.ndarray:
    """(K, 2) polyline -> (points, 2), equally spaced along its length; both ends included."""
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
    return shoulders_over_time(upper_edge(mask)[None], landmarks[None])[0]


def shoulders_over_time(uppers: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The same of K moments of one clip, from what `upper_edge` made of the masks: (K, H), (K, 478, 3) -> (K, 18, 3).

    A shoulder is one shape that is shifted and tilted: its points do not slide along it when an arm or the hair hides
    its end, and a moment's faults of the mask do not bend it.
    """
    points = np.empty((len(uppers), N_TORSO, 3))
    points[..., 2] = landmarks[..., 2].mean(axis=1)[:, None]
    for index, side in enumerate((-1.0, 1.0)):
        traced = [_trace(upper, face, side) for upper, face in zip(uppers, landmarks, strict=True)]
        x, y, seen = (np.stack(parts) for parts in zip(*traced, strict=True))
        last = _farthest(seen)
        x, y, seen = x[:, : last + 1], y[:, : last + 1], seen[:, : last + 1]
        shape = _usual_shape(y, seen)
        at = _resample(np.stack([x[0] - x[0, 0], shape], axis=1), SHOULDER_POINTS)[:, 0] / (x[0, -1] - x[0, 0])
        columns = at * last  # where along the shoulder the points lie, the same at every moment
        motion = np.stack([_shift_and_tilt(*line) for line in zip(y - shape, seen, strict=True)])
        y = shape + _within_reach(motion) @ np.stack([np.ones(last + 1), np.linspace(-1.0, 1.0, last + 1)])
        block = slice(index * SHOULDER_POINTS, (index + 1) * SHOULDER_POINTS)
        for axis, values in enumerate((x, y)):
            points[:, block, axis] = np.stack([np.interp(columns, np.arange(last + 1), line) for line in values])
    return points


def _trace(upper: np.ndarray, landmarks: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One shoulder's line at `SHOULDER_COLUMNS` places from the neck outwards: x, y, and where the mask shows it."""
    scale = FRAME / len(upper)
    oval = landmarks[list(FACE_OVAL), :2]
    left, right = oval[:, 0].min(), oval[:, 0].max()
    width, height = right - left, oval[:, 1].max() - oval[:, 1].min()
    centre, chin = 0.5 * (left + right), oval[:, 1].max()
    reach, drop = 1.15 * width, 0.55 * height
    distance = np.linspace(0.42 * width, 0.42 * width + reach, SHOULDER_COLUMNS)
    x = centre + side * distance
    slope = chin + 0.15 * height + drop * (distance - distance[0]) / reach
    columns = np.floor(x / scale).astype(int)
    visible = (columns >= 0) & (columns < len(upper))
    edge = np.full(SHOULDER_COLUMNS, np.nan)
    edge[visible] = upper[columns[visible]]
    # A run that goes on above the chin is hair or a hand; one that starts far below is an arm.
    seen = np.isfinite(edge) & (edge > chin + 0.02 * height) & (edge < chin + 1.1 * height)
    return x, np.maximum(_complete(slope, edge, seen), chin), seen


def _farthest(seen: np.ndarray) -> int:
    """The last column that shows a shoulder (K, SHOULDER_COLUMNS) in half of the moments that show any of it."""
    shown = seen[seen.sum(axis=1) >= MIN_SHOULDER_COLUMNS]
    if not len(shown):
        return SHOULDER_COLUMNS - 1
    often = np.flatnonzero(shown.mean(axis=0) >= 0.5)
    return int(often[-1]) if len(often) >= MIN_SHOULDER_COLUMNS else SHOULDER_COLUMNS - 1


def _usual_shape(y: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The median line (C,) of lines (K, C), by what was seen of each column in a quarter of the moments or more."""
    shape = np.median(y, axis=0)
    often = seen.mean(axis=0) >= 0.25
    shape[often] = np.nanmedian(np.where(seen, y, np.nan)[:, often], axis=0)
    return shape


def _shift_and_tilt(moved: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The line nearest to how far each seen column has moved (C,): its middle, and how much more its end has (2,).

    Columns that moved otherwise than most do not count; NaN if too few are seen.
    """
    if seen.sum() < MIN_SHOULDER_COLUMNS:
        return np.full(2, np.nan)
    along = np.stack([np.ones(len(moved)), np.linspace(-1.0, 1.0, len(moved))], axis=1)[seen]
    moved = moved[seen]
    line = np.array([np.median(moved), 0.0])
    for _ in range(ROBUST_FIT_ROUNDS):
        away = np.abs(moved - along @ line)
        weight = 1 / (1 + (away / max(float(np.median(away)), FULL_WEIGHT_PX)) ** 2)
        weighted = along * weight[:, None]
        line = np.linalg.solve(weighted.T @ along + np.diag([0.0, TILT_STIFFNESS * weight.sum()]), weighted.T @ moved)
    return line


def _within_reach(motion: np.ndarray) -> np.ndarray:
    """Shift and tilt of K moments (K, 2), none farther from the clip's median than most: what jumps is the mask.

    Moments without are taken from their neighbours in time; 0 if there are no others.
    """
    known = np.flatnonzero(np.isfinite(motion[:, 0]))
    if not len(known):
        return np.zeros_like(motion)
    motion = np.stack([np.interp(np.arange(len(motion)), known, part[known]) for part in motion.T], axis=1)
    middle = np.median(motion, axis=0)
    reach = np.maximum(MAX_DEVIATIONS * np.median(np.abs(motion - middle), axis=0), MIN_REACH_PX)
    return np.clip(motion, middle - reach, middle + reach)


def _complete(slope: np.ndarray, edge: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Fill the columns without evidence: the plain slope, moved to meet the nearest evidence."""
    if seen.sum() < MIN_SHOULDER_COLUMNS:
        return slope
    where = np.flatnonzero(seen)
    shift = np.interp(np.arange(len(slope)), where, _median(edge[where]) - slope[where])
    return slope + shift

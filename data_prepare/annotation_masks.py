"""Person masks that other programs made, read a frame at a time and cut to a clip's square."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moda.errors import DataError, MediaError
from moda.imaging.crop import Box
from moda.media.video import probe, read_frames
from moda.reading import array_claims, read_arrays
from moda.representation import FPS
from moda.tracking.person import MODEL_SIDE_PX

MAX_MISSING_SECONDS = 0.5
"""Annotations may end this much before the clip, seconds; their last frame then stands for the rest."""
MAX_ASPECT_DIFFERENCE = 0.02
"""A mask's width to height may differ from the source's by this share (rounded sizes)."""


MAX_FPS_BYTES = 1 << 10
MAX_FRAME_BYTES = 1 << 27
"""Of one mask: 4096 x 4096 in the widest numbers."""


def frame_rate(path: Path, value: np.ndarray | None) -> float:
    """The frame rate in an .npz file; raises `DataError` unless it is one number above 0."""
    if value is None or value.size != 1 or value.dtype.kind not in "iuf" or not 0 < float(value.reshape(())) < 1e4:
        raise DataError(f"{path}: fps is {'missing' if value is None else str(value)[:60]}, wanted frames per second")
    return float(value.reshape(()))


def covered(path: Path, place: np.ndarray, count: int, fps: float) -> np.ndarray:
    """Frame numbers (fractions too) held to those there are; raises `DataError` if many are not."""
    last = float(place.max(initial=0.0))
    if last > count - 1 + max(MAX_MISSING_SECONDS * fps, 1.0) or float(place.min(initial=0.0)) < -1e-6:
        raise DataError(f"{path} holds {count} frames at {fps:g} fps = {count / fps:.2f} s, wanted {last / fps:.2f} s")
    return np.clip(place, 0, count - 1)


def _check_proportion(path: Path, width: int, height: int, source_width: int, source_height: int) -> None:
    if abs(width * source_height / (height * source_width) - 1.0) > MAX_ASPECT_DIFFERENCE:
        raise DataError(
            f"{path} shows {width}x{height}, wanted the whole picture of the source, {source_width}x{source_height}, "
            "or that in another size"
        )


@dataclass(frozen=True)
class FrameStack:
    """An (N, h, w) array in an .npz file, of which only the header has been read."""

    path: Path
    key: str
    fps: float
    shape: tuple[int, int, int]
    dtype: np.dtype
    start: int
    """Bytes of the header."""

    @staticmethod
    def open(path: Path, key: str) -> FrameStack:
        """Read the header; raises `DataError` if it is not fps and a (N, h, w) stack of masks."""
        claim = array_claims(path, [key], hint=f"; wanted {key} (N, h, w)")[key]
        shape, dtype = claim.shape, claim.dtype
        kinds = ("uint8",) if key == "labels" else ("uint8", "bool", "float16", "float32", "float64")
        if len(shape) != 3 or 0 in shape or claim.fortran or dtype.name not in kinds:
            order = " in Fortran order" if claim.fortran else ""
            raise DataError(f"{path}: {key} is {dtype} {shape}{order}, wanted {kinds[0]} (N, h, w)")
        if math.prod(shape[1:]) * dtype.itemsize > MAX_FRAME_BYTES:
            raise DataError(
                f"{path}: {key} is {dtype} {shape}, wanted at most {MAX_FRAME_BYTES >> 20} MB a frame; a height of "
                f"{MODEL_SIDE_PX} pixels is enough"
            )
        fps = read_arrays(path, [], optional=["fps"], limit=MAX_FPS_BYTES).get("fps")
        count, height, width = shape
        return FrameStack(path, key, frame_rate(path, fps), (count, height, width), dtype, claim.start)

    def frames(self) -> Iterator[np.ndarray]:
        """All frames in turn, (h, w) as stored."""
        count, height, width = self.shape
        length = height * width * self.dtype.itemsize
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.key}.npy") as file:
                file.read(self.start)
                for _ in range(count):
                    data = file.read(length)
                    if len(data) != length:
                        raise DataError(f"{self.path}: {self.key} is cut off")
                    yield np.frombuffer(data, self.dtype).reshape(height, width)
        except (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"cannot read {self.path}: {error}") from error

    def person(self, frame: np.ndarray) -> np.ndarray:
        """A stored frame -> float32 0..1; raises `DataError` for numbers that are no mask."""
        if self.key == "labels":
            return (frame != 0).astype(np.float32)
        if frame.dtype == np.uint8:
            return frame.astype(np.float32) / 255.0
        mask = frame.astype(np.float32)
        if not (np.isfinite(mask).all() and mask.min() >= -0.01 and mask.max() <= 1.01):
            raise DataError(f"{self.path}: {self.key} holds NaN or numbers outside 0..1")
        return np.clip(mask, 0.0, 1.0)


def masks_of_stack(stack: FrameStack, times: np.ndarray, box: Box, width: int, height: int) -> Iterator[np.ndarray]:
    """See `Annotations.masks`. Checks at once, then yields."""
    count, rows, columns = stack.shape
    _check_proportion(stack.path, columns, rows, width, height)
    place = covered(stack.path, np.asarray(times, np.float64) * stack.fps, count, stack.fps)
    down = _resampling(box.top * rows / height, box.side * rows / height, rows)
    across = _resampling(box.left * columns / width, box.side * columns / width, columns).T
    (used_rows,), (used_columns,) = np.nonzero(down.any(axis=0)), np.nonzero(across.any(axis=1))
    y, x = slice(used_rows[0], used_rows[-1] + 1), slice(used_columns[0], used_columns[-1] + 1)
    down, across = np.ascontiguousarray(down[:, y]), np.ascontiguousarray(across[x])

    def made() -> Iterator[np.ndarray]:
        for frame in _at(stack.frames(), np.rint(place).astype(int)):
            yield np.clip(down @ stack.person(frame[y, x]) @ across, 0.0, 1.0)

    return made()


def masks_of_video(path: Path, times: np.ndarray, box: Box, width: int, height: int) -> Iterator[np.ndarray]:
    """See `Annotations.masks`. Checks at once, then yields."""
    try:
        info = probe(path)
    except MediaError as error:
        raise DataError(f"cannot read the person mask: {error}") from error
    _check_proportion(path, info.width, info.height, width, height)
    place = covered(path, np.asarray(times, np.float64) * FPS, max(1, math.ceil(info.seconds * FPS)), FPS)
    side = max(1, min(round(box.side * info.width / width), info.width, info.height))
    left = min(round(box.left * info.width / width), info.width - side)
    top = min(round(box.top * info.height / height), info.height - side)

    def made() -> Iterator[np.ndarray]:
        frames = read_frames(path, FPS, MODEL_SIDE_PX, (left, top, side))
        for frame in _at(frames, np.rint(place).astype(int)):
            yield frame[..., 1].astype(np.float32) / 255.0

    return made()


def _at(frames: Iterator[np.ndarray], numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Frames by number, ascending; beyond the end the last one is held. Raises `ValueError` if they descend."""
    if (np.diff(numbers) < 0).any():
        raise ValueError("masks can only be read forwards in time")
    number, frame = -1, None
    for wanted in numbers:
        while number < wanted and (following := next(frames, None)) is not None:
            number, frame = number + 1, following
        if frame is None:
            return
        yield frame


def _resampling(start: float, length: float, size: int) -> np.ndarray:
    """Weights (256, size) that bring `length` pixels from `start` on of a line to 256; triangles, no aliasing."""
    step = length / MODEL_SIDE_PX
    centres = start + (np.arange(MODEL_SIDE_PX) + 0.5) * step
    distance = np.abs(np.clip(centres, 0.5, size - 0.5)[:, None] - (np.arange(size) + 0.5))
    weights = np.maximum(0.0, 1.0 - distance / max(step, 1.0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

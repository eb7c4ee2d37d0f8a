"""One .npy file a quantity: what the arrays of a clip are called, and how they are written and mapped."""

from __future__ import annotations

import errno
import io
import math
import mmap
import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from moda.errors import DataError
from moda.files import write_npy
from moda.landmarks import N_LANDMARKS, N_TORSO

ARRAYS: dict[str, tuple[np.dtype, tuple[int, ...], bool]] = {
    "landmarks": (np.dtype(np.float32), (N_LANDMARKS, 3), True),
    "tracked": (np.dtype(np.bool_), (), True),
    "rotation": (np.dtype(np.float64), (3,), True),
    "translation": (np.dtype(np.float64), (3,), True),
    "scale": (np.dtype(np.float64), (), True),
    "subject": (np.dtype(np.float32), (N_LANDMARKS, 3), False),
    "torso": (np.dtype(np.float32), (N_TORSO, 3), True),
}
"""Name -> (dtype, trailing shape, whether there is one a frame)."""


def write_array(folder: Path, name: str, array: np.ndarray) -> None:
    """Write FOLDER/NAME.npy whole or not at all; the same array gives the same bytes.

    Raises `DataError` for another dtype or shape than `ARRAYS` says, no frames, and values that are
    not finite; `OutputError` if the place cannot be written or is full.
    """
    dtype, trailing, per_frame = ARRAYS[name]
    path = folder / f"{name}.npy"
    leading = array.shape[:1] if per_frame else ()
    if array.dtype != dtype or array.shape != (*leading, *trailing) or 0 in array.shape:
        shape = "(" + ", ".join([*(["T"] if per_frame else []), *map(str, trailing)]) + ")"
        raise DataError(f"cannot store '{name}' in {path}: got {array.dtype} {array.shape}, wanted {dtype} {shape}")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise DataError(f"cannot store '{name}' in {path}: {bad} values are not finite")
    write_npy(path, array)


def map_array(folder: Path, name: str, frames: int) -> np.ndarray:
    """FOLDER/NAME.npy as a read-only map: only what is accessed is read from disk.

    The file stays open as long as the array or a slice of it lives. Raises `DataError` naming the
    file if it is missing, damaged, or of another dtype or shape than a clip of `frames` frames has.
    """
    path = os.path.join(folder, f"{name}.npy")
    dtype, shape, header = _expected(name, frames)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if file.read(len(header)) == header:  # as `write_array` makes it: ten times faster than np.load
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                return np.frombuffer(mapped, dtype, math.prod(shape), len(header)).reshape(shape)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; prepare the clip again") from error
    array = map_npy(path)
    if array.shape != shape or array.dtype != dtype or array.flags.fnc:
        raise DataError(
            f"{path} holds {array.dtype} {array.shape}, wanted {dtype} {shape}, C order; prepare the clip again"
        )
    return array


def map_npy(path: Path | str) -> np.ndarray:
    """Any .npy file of numbers as a read-only map; raises `DataError` naming the file if it is none, or cut short."""
    try:
        if not os.path.isfile(path):
            raise FileNotFoundError(errno.ENOENT, "no such file")
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except Exception as error:  # of a damaged header numpy raises a dozen kinds
        raise DataError(f"cannot read {path}: {error}; prepare the clip again") from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would wait for its writer


@lru_cache(maxsize=10_000)
def _expected(name: str, frames: int) -> tuple[np.dtype, tuple[int, ...], bytes]:
    """Dtype, shape and header of an array of a clip of `frames` frames."""
    dtype, trailing, per_frame = ARRAYS[name]
    shape = (frames, *trailing) if per_frame else trailing
    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    return dtype, shape, header.getvalue()

"""Motion as a table (CSV): a row a frame, or keys that are joined by straight lines.

Columns: `seconds`, and any of `head_pitch` ... `head_scale`, `lips_0_x` ... `torso_17_z`; `gaze_x` and `gaze_y` move
all points of both irises. What has no column stays at rest. Units are those of `Motion`.
"""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moda.controls import HEAD_CHANNELS
from moda.errors import DataError
from moda.files import write_text
from moda.landmarks import IRIS_ROWS
from moda.reading import read_text
from moda.representation import FPS, MAX_FPS, MAX_OFFSET, SHAPES, Motion

MAX_TABLE_BYTES = 1 << 28
MAX_SECONDS = 4 * 3600
MIN_FRAME_RATE = 10.0
"""Evenly spaced rows that are this close, a second, are frames; others are keys."""


@dataclass(frozen=True)
class Table:
    """A motion that was read, and the parts of which the table has a column: groups of `SHAPES`, and "gaze"."""

    motion: Motion
    parts: frozenset[str]


def columns() -> list[str]:
    """Names of all channels of a motion, in the order of its arrays."""
    names = []
    for part, shape in SHAPES.items():
        if part == "head":
            names += [f"head_{channel}" for channel in HEAD_CHANNELS]
        else:
            names += [f"{part}_{point}_{axis}" for point in range(shape[0]) for axis in "xyz"]
    return names


def write_table(path: Path, motion: Motion) -> None:
    """Write all channels of a motion; `read_table` gives it back, but for the last digits. Raises `OutputError`."""
    values = np.concatenate([np.asarray(getattr(motion, name)).reshape(len(motion), -1) for name in SHAPES], axis=1)
    lines = [",".join(["seconds", *columns()])]
    for frame, row in enumerate(values):
        lines.append(",".join([f"{frame / motion.fps:.6f}", *(f"{value:.6g}" for value in row)]))
    write_text(path, "\n".join(lines) + "\n")


def read_table(path: Path) -> Table:
    """Read a table; rows that are no frames are keys, which straight lines join at 25 fps.

    Raises `DataError` that names the line for what is no such table.
    """
    text = read_text(path, limit=MAX_TABLE_BYTES, what="the motion table ", hint="; wanted CSV in UTF-8")
    rows = csv.reader(text.splitlines())
    header = [name.strip() for name in next(rows, [])]
    places = _places(header, path)
    values = []
    for cells in rows:
        if any(cell.strip() for cell in cells):
            values.append(_numbers(cells, header, f"{path} line {rows.line_num}"))
    if not values:
        raise DataError(f"no rows in the motion table {path}")
    array = np.asarray(values, np.float64)
    seconds = array[:, header.index("seconds")]
    if (np.diff(seconds) <= 0).any() or seconds[0] < 0 or seconds[-1] > MAX_SECONDS:
        raise DataError(f"'seconds' of the motion table {path} should rise, from 0 to at most {MAX_SECONDS}")
    array, fps = _as_frames(array, seconds)
    flat = {name: np.zeros((len(array), int(np.prod(shape))), np.float32) for name, shape in SHAPES.items()}
    for column, found in zip(array.T, places, strict=True):
        for part, channel in found:
            flat[part][:, channel] = column
    arrays = {name: flat[name].reshape(len(array), *shape) for name, shape in SHAPES.items()}
    parts = {name.split("_")[0] for name in header} & {*SHAPES, "gaze"}  # gaze alone is not the eyes
    parts |= {"gaze"} if "eyes" in parts else set()
    return Table(Motion(**arrays, fps=fps), frozenset(parts))


def _places(header: list[str], path: Path) -> list[list[tuple[str, int]]]:
    """The channels, by part and number, that each column gives."""
    names = columns()
    known: dict[str, list[tuple[str, int]]] = {"seconds": []} | {
        f"gaze_{axis}": [("eyes", 3 * row + i) for row in IRIS_ROWS] for i, axis in enumerate("xyz")
    }
    start: dict[str, int] = {}
    for number, name in enumerate(names):
        part = name.split("_")[0]
        known[name] = [(part, number - start.setdefault(part, number))]
    unknown = [name for name in header if name not in known]
    if unknown or "seconds" not in header:
        near = difflib.get_close_matches(unknown[0] if unknown else "seconds", known, n=1)
        wrong = f"has a column '{unknown[0][:40]}'" if unknown else "has no column 'seconds'"
        hint = f"; did you mean '{near[0]}'?" if near and unknown else ""
        raise DataError(f"the motion table {path} {wrong}, wanted seconds and channels as head_yaw, lips_0_x{hint}")
    if len(set(header)) != len(header):
        raise DataError(f"the motion table {path} names a column twice")
    return [known[name] for name in header]


def _numbers(cells: list[str], header: list[str], place: str) -> list[float]:
    if len(cells) != len(header):
        raise DataError(f"{place} has {len(cells)} cells, wanted {len(header)}")
    try:
        values = [float(cell) for cell in cells]
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error
    for name, value in zip(header, values, strict=True):
        if not abs(value) <= MAX_OFFSET:
            raise DataError(f"{place}: '{name}' is {value:g}, wanted a number of at most {MAX_OFFSET:g}")
    return values


def _as_frames(array: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, float]:
    """Rows at an even rate, and the rate."""
    if len(array) > 1:
        step = (seconds[-1] - seconds[0]) / (len(array) - 1)
        even = np.allclose(np.diff(seconds), step, rtol=0.02, atol=1e-4)
        if even and MIN_FRAME_RATE <= 1 / step <= MAX_FPS and seconds[0] < step / 2:
            rate = 1 / step
            return array, round(rate) if abs(rate - round(rate)) < 1e-3 * rate else rate
    moments = np.arange(int(seconds[-1] * FPS) + 1) / FPS
    return np.stack([np.interp(moments, seconds, column) for column in array.T], axis=1), FPS

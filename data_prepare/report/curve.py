"""The lip opening over the level of the audio, as paths of one small inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from data_prepare.report.words import finite
from moda.errors import DataError
from moda.reading import read_json

MAX_CURVE_POINTS = 300
CURVE_HEIGHT = 60
"""Height of the drawing in its own units; it is stretched to the width of the strip above it."""
MIN_AXIS_OPENING_PX = 20.0
"""Top of the axis of the lip opening, pixels, unless the lips open wider: still lips look still."""
MIN_LEVEL_DBFS, MAX_LEVEL_DBFS = -60.0, 0.0
"""Axis of the audio's level, dBFS."""


class Curves(NamedTuple):
    """Contents of preview.json. lip_opening: pixels or None; envelope: dBFS, empty without audio."""

    lip_opening: list[float | None]
    envelope: list[float | None]
    seconds: float


def _numbers(values: object) -> list[float | None]:
    if not isinstance(values, list):
        return []
    numbers = [finite(value) for value in values]
    if len(numbers) <= MAX_CURVE_POINTS:
        return numbers
    return [numbers[index * len(numbers) // MAX_CURVE_POINTS] for index in range(MAX_CURVE_POINTS)]


def read_curves(path: Path) -> Curves | None:
    """The curves of a clip, or None if there are none that can be drawn."""
    try:
        record = read_json(path)
    except DataError:
        return None
    seconds = finite(record.get("seconds"))
    lips, envelope = _numbers(record.get("lip_opening")), _numbers(record.get("envelope"))
    return Curves(lips, envelope, seconds) if seconds is not None and (lips or envelope) else None


def top_of(curves: Curves) -> float:
    """Top of the axis of the lip opening, pixels."""
    return max([MIN_AXIS_OPENING_PX, *(value for value in curves.lip_opening if value is not None)])


def _heights(values: Sequence[float | None], low: float, high: float) -> list[int | None]:
    """Values as whole units of the drawing, counted downwards from its top."""
    return [
        None if value is None else round(CURVE_HEIGHT * (1.0 - min(max((value - low) / (high - low), 0.0), 1.0)))
        for value in values
    ]


def line_path(heights: Sequence[int | None]) -> str:
    """A polyline with a point a unit, broken where there is no value; relative steps keep it short."""
    words: list[str] = []
    before: int | None = None
    for index, height in enumerate(heights):
        if height is None:
            before = None
            continue
        if before is None:
            alone = index + 1 == len(heights) or heights[index + 1] is None
            words.append(f"M{index} {height}l" + ("0 0" if alone else ""))
        else:
            words.append(f"1 {height - before}")
        before = height
    return " ".join(words).replace("l ", "l")


def area_path(heights: Sequence[int | None]) -> str:
    """The same as an area standing on the bottom; no value is no height."""
    if not heights:
        return ""
    filled = [CURVE_HEIGHT if height is None else height for height in heights]
    steps = " ".join(f"1 {after - before}" for before, after in pairwise(filled)) or "1 0"
    return f"M0 {CURVE_HEIGHT}V{filled[0]}l{steps}V{CURVE_HEIGHT}z"


def paths_of(curves: Curves) -> list[dict[str, Any]]:
    """The paths to draw; each spans the whole width, whatever its number of points."""
    parts = []
    for kind, values, low, high in (
        ("audio", curves.envelope, MIN_LEVEL_DBFS, MAX_LEVEL_DBFS),
        ("lips", curves.lip_opening, 0.0, top_of(curves)),
    ):
        if values:
            heights = _heights(values, low, high)
            path = area_path(heights) if kind == "audio" else line_path(heights)
            parts.append({"kind": kind, "width": max(1, len(values) - 1), "path": path})
    return parts

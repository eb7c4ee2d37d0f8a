"""Texts of the report: figures with their units, offsets, addresses, reasons without paths."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from moda.representation import FPS


class Figure(NamedTuple):
    """A figure of quality as people read it: label, unit, factor to that unit, digits, explanation."""

    label: str
    unit: str = ""
    factor: float = 1.0
    digits: int = 1
    meaning: str = ""


FIGURES: dict[str, Figure] = {
    "tracked": Figure("tracked", " %", 100.0, 1, "frames in which the face was found"),
    "face_px": Figure("face", " px", 1.0, 0, "median size of the face in the source, the larger of width and height"),
    "sharpness": Figure("sharpness", "", 1.0, 0, "median variance of the Laplacian in the face's box; low is blurred"),
    "yaw_range": Figure("yaw range", "°", 1.0, 1, "left-right turn of the head, 5th to 95th percentile"),
    "yaw_most": Figure("yaw, most", "°", 1.0, 1, "left-right turn away from the camera, 95th percentile"),
    "pitch_range": Figure("pitch range", "°", 1.0, 1, "up-down turn of the head, 5th to 95th percentile"),
    "lip_opening_range": Figure("lip range", " px", 1.0, 1, "lip opening, 1st to 99th percentile, 512 px frame"),
    "lip_motion": Figure("lip motion", " px", 1.0, 2, "spread of the lips' points within a second, 512 px frame"),
    "out_of_crop": Figure("out of crop", " %", 100.0, 1, "frames in which the face leaves the crop"),
    "mesh_misfit": Figure(
        "mesh misfit", " px", 1.0, 2, "stray of the face's rigid points, 95th percentile; a hand shows"
    ),
    "jumps": Figure("jumps", "", 1.0, 0, "times the face jumps from one frame to the next"),
    "people": Figure("people seen", "", 1.0, 0, "people in the shot who could be the speaker"),
    "loudness_dbfs": Figure("loudness", " dBFS", 1.0, 1, "root mean square of the audio"),
    "pauses": Figure("pauses", " %", 100.0, 0, "frames whose audio is 30 dB below the loud ones"),
    "clipped": Figure("clipped", " %", 100.0, 2, "samples of the audio at full scale"),
}
"""Figures that are known here; any other is shown under its own name."""
MINUS = "\N{MINUS SIGN}"
_PATH = re.compile(r"(?<!\S)\S*/\S*")


def address(path: str) -> str:
    """A path relative to the page as an address; the bytes of a file name are preserved."""
    return quote(os.fsencode(path), safe="/-_.~")


def inside(out: Path, path: str) -> bool:
    """Whether a path relative to the page names a file beside or below it."""
    return ".." not in Path(path).parts and not os.path.isabs(path) and os.path.isfile(out / path)


def number(value: float, digits: int) -> str:
    """A number with a true minus sign and narrow groups: -1234.5 -> −1 234.5; never −0."""
    rounded = round(value, digits)
    body = f"{abs(rounded):,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return MINUS + body if rounded < 0 else body


def finite(value: object) -> float | None:
    """The value as a float, or None if it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # integers of JSON have no limit
        return None
    return number if math.isfinite(number) else None


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one: a record may hold anything."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Sequence[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def figure_of(name: str) -> Figure:
    """How a figure is shown; an unknown one has its name as label, and digits by its size."""
    return FIGURES.get(name) or Figure(name.replace("_", " "), digits=-1)


def figure_text(name: str, value: float) -> str:
    """A figure with its unit."""
    figure = figure_of(name)
    scaled = value * figure.factor
    digits = figure.digits if figure.digits >= 0 else max(0, min(4, 2 - math.floor(math.log10(abs(scaled) or 1.0))))
    return number(scaled, digits) + figure.unit


def offset_words(offset: Mapping[str, Any] | None, has_audio: bool) -> str:
    """One line on the offset between picture and audio. Positive: the picture comes late."""
    frames = finite(offset.get("frames")) if offset else None
    if offset is None or frames is None:
        return "offset not measured" if has_audio else "no audio"
    way = "in sync" if abs(frames) < 0.05 else "picture late" if frames > 0 else "picture early"
    sign = "+" if frames >= 0.05 else ""
    unit = "frame" if abs(round(frames, 1)) == 1 else "frames"
    words = [f"offset {sign}{number(frames, 1)} {unit} ({sign}{number(frames * 1000 / FPS, 0)} ms, {way})"]
    if offset.get("corrected"):
        words.append("corrected")
    if not offset.get("settled", True):
        words.append("not settled")
    if (confidence := finite(offset.get("confidence"))) is not None:
        words.append(f"confidence {number(confidence, 2)}")
    return ", ".join(words)


def without_paths(reason: str, source: str = "") -> str:
    """A reason without the paths in it; `source` is the clip's own, which may hold spaces."""
    if source:
        reason = re.sub(r"\S*" + re.escape(source), "…", reason)
    return _PATH.sub("…", reason).strip() or "no reason given"

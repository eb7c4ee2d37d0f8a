"""ARKit's blendshape curves of a motion, and Live Link Face's table of them.

The curves are those of `moda.tracking.blendshapes` for the whole face that stage 2 makes of lips and eyes, seen
from the front: the head's pose is no part of them.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from moda.errors import DataError
from moda.files import write_text
from moda.reading import read_text
from moda.representation import MAX_FPS, SHAPES, Motion
from moda.tracking.blendshapes import NAMES


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LIVE_LINK = _words(
    "EyeBlinkLeft EyeLookDownLeft EyeLookInLeft EyeLookOutLeft EyeLookUpLeft EyeSquintLeft EyeWideLeft "
    "EyeBlinkRight EyeLookDownRight EyeLookInRight EyeLookOutRight EyeLookUpRight EyeSquintRight EyeWideRight "
    "JawForward JawRight JawLeft JawOpen MouthClose MouthFunnel MouthPucker MouthRight MouthLeft "
    "MouthSmileLeft MouthSmileRight MouthFrownLeft MouthFrownRight MouthDimpleLeft MouthDimpleRight "
    "MouthStretchLeft MouthStretchRight MouthRollLower MouthRollUpper MouthShrugLower MouthShrugUpper "
    "MouthPressLeft MouthPressRight MouthLowerDownLeft MouthLowerDownRight MouthUpperUpLeft MouthUpperUpRight "
    "BrowDownLeft BrowDownRight BrowInnerUp BrowOuterUpLeft BrowOuterUpRight CheekPuff CheekSquintLeft "
    "CheekSquintRight NoseSneerLeft NoseSneerRight TongueOut "
)
"""Columns of Live Link Face's table, in its order."""
POSES = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch",
    "RightEyeRoll",
)  # fmt: skip
"""Its turns, radians, after the coefficients."""
TIMECODE_RATE = 60
"""Frames a second of Live Link Face's timecode."""


def write_curves(path: Path, curves: np.ndarray, fps: float) -> None:
    """Write curves (T, 52) as a table with `seconds` and the names of MediaPipe's network; raises `OutputError`."""
    lines = [",".join(["seconds", *NAMES])]
    for frame, row in enumerate(curves):
        lines.append(",".join([f"{frame / fps:.6f}", *(f"{value:.5f}" for value in row)]))
    write_text(path, "\n".join(lines) + "\n")


def write_live_link(path: Path, curves: np.ndarray, motion: Motion) -> None:
    """Write curves (T, 52) and the motion's head as Live Link Face does; `TongueOut` and the eyes' turns are 0."""
    column = {name[0].upper() + name[1:]: number for number, name in enumerate(NAMES)}
    ordered = np.zeros((len(motion), len(LIVE_LINK) + len(POSES)))
    for place, name in enumerate(LIVE_LINK):
        if name in column:
            ordered[:, place] = curves[:, column[name]]
    ordered[:, len(LIVE_LINK) : len(LIVE_LINK) + 3] = np.deg2rad(motion.head[:, [1, 0, 2]])
    lines = [",".join(["Timecode", "BlendShapeCount", *LIVE_LINK, *POSES])]
    for frame, row in enumerate(ordered):
        cells = [timecode(frame / motion.fps), str(len(row)), *(f"{value:.7f}" for value in row)]
        lines.append(",".join(cells))
    write_text(path, "\n".join(lines) + "\n")


def timecode(seconds: float) -> str:
    """HH:MM:SS:FF.fff, frames at `TIMECODE_RATE`."""
    frames = round(seconds * TIMECODE_RATE, 3)
    whole = int(frames) // TIMECODE_RATE
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}:{frames - whole * TIMECODE_RATE:06.3f}"


def read_live_link(path: Path) -> Motion:
    """The head of a table of Live Link Face: its turns relative to their median. Lips, eyes and shoulders stay at rest.

    Raises `DataError` that names the line for what is no such table.
    """
    rows = csv.reader(read_text(path, limit=1 << 28, what="the table of Live Link Face ").splitlines())
    header = [name.strip() for name in next(rows, [])]
    missing = [name for name in ("Timecode", *POSES[:3]) if name not in header]
    if missing:
        raise DataError(f"{path} has no column '{missing[0]}', so it is no table of Live Link Face")
    places = [header.index(name) for name in ("HeadPitch", "HeadYaw", "HeadRoll")]
    seconds, turns = [], []
    for cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            hours, minutes, whole, frames = cells[header.index("Timecode")].split(":")
            seconds.append(3600 * int(hours) + 60 * int(minutes) + int(whole) + float(frames) / TIMECODE_RATE)
            turns.append([float(cells[place]) for place in places])
        except (ValueError, IndexError) as error:
            raise DataError(f"{path} line {rows.line_num} is not as Live Link Face writes it: {error}") from error
    times, values = np.array(seconds), np.array(turns).reshape(-1, 3)
    if len(times) < 2 or (np.diff(times) <= 0).any() or not (np.abs(values) < 2 * np.pi).all():
        raise DataError(f"{path}: wanted 2 rows or more with rising timecodes, and turns in radians")
    fps = float(np.clip(round((len(times) - 1) / (times[-1] - times[0]), 2), 1, MAX_FPS))
    moments = np.arange(round((times[-1] - times[0]) * fps) + 1) / fps
    degrees = np.rad2deg(np.unwrap(values, axis=0))
    head = np.zeros((len(moments), SHAPES["head"][0]), np.float32)
    for channel in range(3):
        head[:, channel] = np.interp(moments, times - times[0], degrees[:, channel])
    head[:, :3] -= np.median(head[:, :3], axis=0)
    still = {name: np.zeros((len(moments), *shape), np.float32) for name, shape in SHAPES.items() if name != "head"}
    return Motion(**still, head=head, fps=fps)

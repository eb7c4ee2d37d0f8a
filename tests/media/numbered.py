"""Pictures that say their number, so that a test sees which frame it got."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

SIDE, CELL = 64, 20


def numbered(index: int) -> np.ndarray:
    """A picture that says its number: nine black or white squares, one a binary digit."""
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)
    for bit in range(9):
        row, column = divmod(bit, 3)
        frame[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 255 * (index >> bit & 1)
    return frame


def number(frame: np.ndarray) -> int:
    """What `numbered` wrote into a picture of any size, RGB or grey."""
    cell = len(frame) * CELL / SIDE
    centres = [(int((bit // 3 + 0.5) * cell), int((bit % 3 + 0.5) * cell)) for bit in range(9)]
    return sum(int(frame[y, x].mean() > 128) << bit for bit, (y, x) in enumerate(centres))


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg; raises if it fails."""
    subprocess.run([get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, arguments)], check=True)


def describe(path: Path) -> str:
    """What `ffmpeg -i` prints about a file (it always "fails", as no output is named)."""
    done = subprocess.run([get_ffmpeg_exe(), "-hide_banner", "-i", str(path)], capture_output=True, check=False)
    return done.stderr.decode("utf-8", "replace")

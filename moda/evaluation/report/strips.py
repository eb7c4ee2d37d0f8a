"""A few frames of a clip side by side, for the report: the same moments in every row."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from moda.errors import MediaError
from moda.files import make_folder, replacing
from moda.metrics.pictures import PicturePair
from moda.metrics.registry import NotAvailable

STRIPS_FOLDER = "frames"
"""Folder of the pictures, inside the output folder."""
FRAME_SIDE_PX, STRIP_FRAMES, JPEG_QUALITY = 160, 8, 85
"""Side of a frame in pixels, frames in a strip, and JPEG quality."""


def moments_of(opening: np.ndarray) -> tuple[int, ...]:
    """Frames to show: of `STRIP_FRAMES` equal parts in turn the most open and the most closed mouth.

    opening: (T,) the true lip opening, NaN without a face; parts without one give their middle frame.
    """
    edges = np.linspace(0, len(opening), min(STRIP_FRAMES, len(opening)) + 1).astype(int)
    found = []
    for index, (start, stop) in enumerate(pairwise(edges)):
        part = opening[start:stop]
        if np.isfinite(part).any():
            found.append(start + int(np.nanargmin(part) if index % 2 else np.nanargmax(part)))
        else:
            found.append((start + stop) // 2)
    return tuple(found)


def write_strip(
    output: Path,
    name: str,
    pictures: PicturePair | NotAvailable,
    side: Literal["true", "generated"],
    moments: tuple[int, ...],
) -> str | None:
    """Write the frames at `moments` as one JPEG under `output`/frames, if it does not exist yet.

    Moments past the end stay blank. Returns its path relative to `output`, None where there are no pictures.
    Raises `OutputError`.
    """
    if isinstance(pictures, NotAvailable):
        return None
    path = output / STRIPS_FOLDER / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.jpg"
    if not path.is_file():
        strip = np.full((FRAME_SIDE_PX, FRAME_SIDE_PX * len(moments), 3), 128, np.uint8)
        places = {moment: place for place, moment in enumerate(moments) if 0 <= moment < pictures.frames}
        video, start = (
            (pictures.true_video, pictures.true_start)
            if side == "true"
            else (pictures.generated_video, pictures.generated_start)
        )
        try:
            frames = video.at([start + moment for moment in places], FRAME_SIDE_PX)
            for place, frame in zip(places.values(), frames, strict=False):
                strip[:, place * FRAME_SIDE_PX : (place + 1) * FRAME_SIDE_PX] = frame
        except MediaError:
            return None
        _write_jpeg(path, strip)
    return f"{STRIPS_FOLDER}/{path.name}"


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    make_folder(path.parent)
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, format="JPEG", quality=JPEG_QUALITY)

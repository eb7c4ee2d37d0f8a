"""The truth handled otherwise: coded again, cut larger, at another frame rate. What that alone changes in a score is
no quality of a method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from moda.errors import MediaError
from moda.evaluation.folders import audio_file
from moda.evaluation.tracking import content_hash
from moda.files import make_folder
from moda.imaging.crop import Box, crop_square, resized
from moda.media.video import VideoWriter, probe, read_frames
from moda.representation import FPS

FOLDER = "handling"
"""Folder of these videos inside the output folder."""
VERSION = 1
"""Raised when the same truth would give other videos."""
FINE_CRF = 10
"""Quality of videos whose coding should not count."""


@dataclass(frozen=True)
class Handling:
    """crf: of H.264. zoom: share of width and height that is left, around the centre. fps: frames a second."""

    crf: int = FINE_CRF
    zoom: float = 1.0
    fps: float = FPS


HANDLINGS: dict[str, Handling] = {
    "truth coded at crf 23": Handling(crf=23),
    "truth coded at crf 35": Handling(crf=35),
    "truth cut 10 % closer": Handling(zoom=0.9),
    "truth at 30 frames/s": Handling(fps=30.0),
}
"""By the name of their row."""


def handled_truth(
    videos: Mapping[str, Path], output: Path, frames: int | None = None, done: Callable[[str], None] | None = None
) -> dict[str, Path]:
    """Write the truth's clips in every handling, unless they are there; folders by row, those that have a video.

    frames: only the first ones, at 25 a second. A video that cannot be read has none, which its row says. Raises
    `OutputError`.
    """
    folders = {}
    for name, handling in HANDLINGS.items():
        folders[name] = output / FOLDER / name.replace(" ", "_").replace("/", "_")
        make_folder(folders[name])
        for clip, video in videos.items():
            stamp = f"{VERSION}-{frames}-{content_hash(video)[:16]}"
            path = folders[name] / f"{clip}.mp4"
            known = path.with_name(f".{clip}.{stamp}")
            if not (path.is_file() and known.is_file()):
                try:
                    _write(video, path, handling, frames)
                except MediaError:
                    continue
                known.touch()
        if done is not None:
            done(name)
    return {name: folder for name, folder in folders.items() if any(folder.glob("*.mp4"))}


def _write(video: Path, path: Path, handling: Handling, frames: int | None) -> None:
    info = probe(video)
    sound = audio_file(video)
    sound_given = sound if sound != video or info.has_audio else None
    size = (info.width - info.width % 2, info.height - info.height % 2)
    last = None if frames is None else round(frames * handling.fps / FPS)
    with VideoWriter(path, size, handling.fps, sound_given, crf=handling.crf) as writer:
        for frame in islice(read_frames(video, fps=handling.fps, size=size), last):
            writer.write(_closer(frame, handling.zoom))


def _closer(frame: np.ndarray, zoom: float) -> np.ndarray:
    """The middle of a picture, as large as the whole; a picture that is not square is cut by its shorter side."""
    if zoom == 1.0:
        return frame
    height, width = frame.shape[:2]
    if height == width:
        side = round(width * zoom)
        return crop_square(frame, Box((width - side) // 2, (height - side) // 2, side), width)
    cut_h, cut_w = round(height * zoom), round(width * zoom)
    top, left = (height - cut_h) // 2, (width - cut_w) // 2
    return resized(np.ascontiguousarray(frame[top : top + cut_h, left : left + cut_w]), (width, height))

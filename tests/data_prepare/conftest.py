"""A folder of small videos of every fate, and the store that one undisturbed run makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from data_prepare.options import Options
from data_prepare.report.record import Report
from data_prepare.runner import PreparationProgress, prepare
from data_prepare.sources.folder import find_sources
from data_prepare.splits import SplitRule
from moda.media.audio import write_wav
from moda.media.video import VideoWriter
from moda.representation import FPS
from tests.conftest import made_once, moving_picture, speech_like

SIDE = 256
FIRST, SECOND = 45, 43
"""Frames of the two shots of film.mp4."""


def write_film(path: Path, frames: Iterable[np.ndarray], level: float = 1.0, crf: int = 18) -> Path:
    """A video of these frames with speech-like audio times `level`; 0: without audio."""
    pictures = list(frames)
    wav = path.with_suffix(".wav")
    write_wav(wav, level * speech_like(len(pictures) / FPS))
    height, width = pictures[0].shape[:2]
    with VideoWriter(path, (width, height), FPS, wav if level else None, preset="ultrafast", crf=crf) as writer:
        for picture in pictures:
            writer.write(picture)
    wav.unlink()
    return path


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder but the lock, and of hidden files too."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="session")
def talking(astronaut) -> Callable[..., list[np.ndarray]]:
    """talking(frames, mirrored=False) -> frames of the astronaut, or of her twin in other colours."""

    def make(frames: int, mirrored: bool = False) -> list[np.ndarray]:
        picture = astronaut[:, ::-1, ::-1] if mirrored else astronaut
        return [frame.copy() for frame in moving_picture(picture, frames, SIDE)]

    return make


@pytest.fixture(scope="session")
def footage(tmp_path_factory, worker_id, talking) -> Path:
    """Folder of videos: film.mp4 has two shots of two people, deep/quiet one.mp4 low audio; the rest is not fit."""
    with made_once(tmp_path_factory, worker_id, "footage") as folder:
        if not (folder / "text.mp4").exists():
            (folder / "deep").mkdir()
            write_film(folder / "film.mp4", talking(FIRST) + talking(SECOND, mirrored=True))
            write_film(folder / "deep" / "quiet one.mp4", talking(36), level=0.03)
            write_film(folder / "hushed.mp4", talking(30), level=0.004)
            noise = np.random.default_rng(0).integers(0, 255, (30, 128, 128, 3), dtype=np.uint8)
            write_film(folder / "no_face.mp4", noise)
            write_film(folder / "short.mp4", noise[:12])
            write_film(folder / "silent.mp4", noise, level=0.0)
            whole = (folder / "film.mp4").read_bytes()
            (folder / "cut_off.mp4").write_bytes(whole[: len(whole) // 3])
            (folder / "empty.mp4").write_bytes(b"")
            (folder / "text.mp4").write_text("this is not a video")
        return folder


@pytest.fixture(scope="session")
def options(sync_checkpoint) -> Options:
    """The astronaut's mouth does not move: no wish for that here."""
    return Options(size=64, sync=sync_checkpoint, limits={"min_lip_motion": 0.0, "min_lip_range": 0.0})


class Prepared(NamedTuple):
    out: Path
    report: Report
    seen: list[PreparationProgress]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, worker_id, footage, options) -> Prepared:
    """The store made of `footage` by one run in two processes. Tests work on copies of it."""
    with made_once(tmp_path_factory, worker_id, f"prepared-{worker_id}") as folder:
        seen: list[PreparationProgress] = []
        report = prepare(
            find_sources(footage), folder / "store", options, rule=SplitRule(), jobs=2, on_progress=seen.append
        )
    return Prepared(folder / "store", report, seen)

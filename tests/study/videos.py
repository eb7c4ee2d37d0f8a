"""Folders of short videos by method, and files of answers as the page writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from moda.media.audio import write_wav
from moda.media.video import VideoWriter
from moda.study.key import QUESTIONS, StudyKey

METHODS = ("truth", "ours_x", "Wav2Lip-HQ")
CLIPS = ("ann_01", "ben_02")

Opinion = Callable[[str | None, str, str], int]
"""What is answered, by method (None: a control), clip and question."""


def write_video(path: Path, tone_hz: float = 200.0, frames: int = 10, *, sound: bool = True, size: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.2 * np.sin(2 * np.pi * tone_hz * np.arange(640 * frames) / 16_000)
    wav = path.with_suffix(".wav")
    write_wav(wav, wave.astype(np.float32))
    tags = {"title": f"made by {path.parent.name}"}
    with VideoWriter(path, size, 25, wav if sound else None, preset="ultrafast", metadata=tags) as writer:
        for value in range(frames):
            writer.write(np.full((size, size, 3), 20 * (value % 12), np.uint8))
    wav.unlink()


def write_folders(root: Path, methods: tuple[str, ...] = METHODS, clips: tuple[str, ...] = CLIPS) -> dict[str, Path]:
    for method in methods:
        for place, clip in enumerate(clips):
            write_video(root / method / f"{clip}.mp4", 300.0 + 500 * place)
    return {method: root / method for method in methods}


def answers_of(key: StudyKey, number: int, opinion: Opinion, **changes: Any) -> dict[str, Any]:
    """A participant's file: ratings by `opinion`, and of a pair the one whose naturalness he rates higher."""
    ratings, pairs = key.orders[number % len(key.orders)]

    def rate(name: str) -> dict[str, Any]:
        method, clip = key.videos[name]
        return {question: opinion(method, clip, question) for question in QUESTIONS}

    def compare(first: str, second: str) -> str:
        one, two = (rate(name)["naturalness"] for name in (first, second))
        return "same" if one == two else "first" if one > two else "second"

    answers: list[dict[str, Any]] = [{"video": name, **rate(name), "plays": [1], "seconds": 3.0} for name in ratings]
    answers += [{"first": one, "second": two, "preferred": compare(one, two), "plays": [1, 1]} for one, two in pairs]
    return {
        "format": "moda-study-answers",
        "version": 1,
        "study": key.study,
        "participant": f"{number:016x}",
        "number": number,
        "started": "2026-11-01T10:00:00.000Z",
        "ended": f"2026-11-01T10:{number % 60:02d}:00.000Z",
        "answers": answers,
        **changes,
    }


def write_answers(folder: Path, key: StudyKey, count: int, opinion: Opinion) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"p{number:02d}.json").write_text(json.dumps(answers_of(key, number, opinion)))


def noisy(levels: dict[str, float], seed: int = 0) -> Opinion:
    """Opinions around a level a method, from 1 to 5."""
    drawn = random.Random(seed)

    def opinion(method: str | None, clip: str, question: str) -> int:
        return 1 if method is None else min(5, max(1, round(drawn.gauss(levels[method], 0.8))))

    return opinion

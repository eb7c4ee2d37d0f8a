"""Evaluation: seconds by part for N clips of 10 s, the first call and one that finds everything kept.

    python benchmarks/evaluate.py VIDEOS [--clips 20] [--seconds 10] [--size 512] [--jobs 2] [--sync] [--json]

VIDEOS is a folder of talking videos; N of them are made into true clips of that length and size (short ones are
played forth and back), and a "method" is the same clips two frames late and coded worse, which costs as much to
score as any. Each call is scripts/eval.py as a whole process. "start" is what its own parts leave of the wall
time: interpreter, imports, configuration. CPU adds up all processes. Without --sync the sync metrics are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
TARGET = 180.0
"""Seconds asked for: 20 clips of 10 s on two cores, without sync."""
SYNC = ("sync_c", "sync_d", "sync_offset", "sync_c0")
LATE = 2


def clip_frames(video: Path, frames: int, size: int) -> list[np.ndarray]:
    """`frames` + LATE frames of the face's square; a short video is played forth and back."""
    from moda.imaging.crop import crop_square, square_box
    from moda.media.video import read_frames
    from moda.tracking.face import FaceTracker

    frames_of = islice(read_frames(video), frames + LATE)
    first = next(frames_of)
    with FaceTracker(video=False, max_faces=8) as tracker:
        faces = tracker.faces(first)
    if not faces:
        return []
    box = square_box(faces[0], first.shape[1], first.shape[0])
    squares = [crop_square(frame, box, size).copy() for frame in chain([first], frames_of)]
    return list(islice(cycle([*squares, *reversed(squares)]), frames + LATE))


def make_clips(videos: Path, folder: Path, clips: int, frames: int, size: int) -> int:
    """Write true/ and late/ clips; returns how many there are."""
    from moda.errors import MediaError
    from moda.media.audio import write_wav
    from moda.media.video import VideoWriter
    from moda.representation import FPS, SAMPLE_RATE

    for name in ("true", "late"):
        (folder / name).mkdir()
    audio = folder / "sound.wav"
    time_axis = np.arange(int(SAMPLE_RATE * frames / FPS)) / SAMPLE_RATE
    write_wav(audio, 0.1 * np.sin(2 * np.pi * 140 * time_axis) * np.maximum(0, np.sin(2 * np.pi * 2 * time_axis)))
    made = 0
    for video in _videos(videos):
        if made == clips:
            break
        try:
            found = clip_frames(video, frames, size)
        except MediaError:
            continue
        if not found:
            continue
        for name, start, crf in (("true", LATE, 18), ("late", 0, 28)):
            with VideoWriter(folder / name / f"clip_{made:02d}.mp4", size, FPS, audio, crf=crf) as writer:
                for frame in found[start : start + frames]:
                    writer.write(frame)
        made += 1
    return made


def _videos(folder: Path) -> Iterator[Path]:
    from moda.evaluation.folders import VIDEO_SUFFIXES

    if not folder.is_dir():
        sys.exit(f"error: wanted a folder of videos, got {folder}")
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES)


def evaluate(folder: Path, jobs: int, sync: bool) -> dict[str, Any]:
    """One call of scripts/eval.py: seconds by part."""
    command = [sys.executable, str(ROOT / "scripts" / "eval.py"), "--true", str(folder / "true")]
    command += ["--generated", f"late={folder / 'late'}", "--output", str(folder / "out"), "--jobs", str(jobs)]
    command += [] if sync else ["--skip", *SYNC]
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read()
    found = re.search(r"seconds: (.*)", said)
    if process.returncode not in (0, 1) or found is None:
        raise SystemExit(f"eval.py ended with code {process.returncode}:\n{said}")
    parts = {name: float(seconds) for name, seconds in re.findall(r"(\w+) ([\d.]+)", found[1])}
    return {
        "wall": round(wall, 1),
        "start": round(wall - sum(parts.values()), 1),
        **parts,
        "cpu": round(usage.ru_utime + usage.ru_stime, 1),
        "refused": said.count("not scored:"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("videos", type=Path, help="folder of talking videos")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sync", action="store_true", help="with the sync metrics")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as name:
        folder = Path(name)
        clips = make_clips(options.videos, folder, options.clips, round(options.seconds * 25), options.size)
        calls = {call: evaluate(folder, options.jobs, options.sync) for call in ("first call", "again")}
    console = Console()
    table = Table(title=f"{clips} clips of {options.seconds:g} s, {options.size} px, {options.jobs} jobs, one method")
    columns = list(calls["first call"])
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for call, record in calls.items():
        table.add_row(call, *(str(record.get(column, "")) for column in columns))
    console.print(table)
    console.print(f"asked for: 20 clips of 10 s in {TARGET:g} s on two cores without sync", highlight=False)
    if options.json:
        print(json.dumps({"clips": clips, "seconds": options.seconds, **calls}))


if __name__ == "__main__":
    main()

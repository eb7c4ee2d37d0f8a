"""Speed of `moda eval` by part: the first call, and one that finds everything in its cache.

VIDEOS is a folder of talking videos. Clips of one length and size are made of them (short ones are played forth and
back), and a "method" that is the same two frames late and coded worse, which costs as much to score as any. Each call
is a whole process; "start" is what its parts leave of the wall time. Without --sync the sync metrics are left out.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from itertools import chain, cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.measuring import finish, parser, run_moda, show

MAX_SECONDS = 180.0
"""The project's aim: 20 clips of 10 s on two cores, without sync."""
SYNC = ("sync_c", "sync_d", "sync_offset", "sync_c0")
LATE_FRAMES = 2


def clip_frames(video: Path, frames: int, size: int) -> list[np.ndarray]:
    """`frames` + LATE_FRAMES frames of the face's square; a short video is played forth and back."""
    from moda.imaging.crop import crop_square, square_box
    from moda.media.video import read_frames
    from moda.tracking.face import FaceTracker

    frames_of = islice(read_frames(video), frames + LATE_FRAMES)
    first = next(frames_of)
    with FaceTracker(video=False, max_faces=8) as tracker:
        faces = tracker.faces(first)
    if not faces:
        return []
    box = square_box(faces[0], first.shape[1], first.shape[0])
    squares = [crop_square(frame, box, size).copy() for frame in chain([first], frames_of)]
    return list(islice(cycle([*squares, *reversed(squares)]), frames + LATE_FRAMES))


def make_clips(videos: Path, folder: Path, clips: int, frames: int, size: int) -> int:
    """Write true/ and late/ clips; returns how many there are."""
    from moda.errors import MediaError
    from moda.evaluation.folders import VIDEO_SUFFIXES
    from moda.media.audio import write_wav
    from moda.media.video import VideoWriter
    from moda.representation import FPS, SAMPLE_RATE

    for name in ("true", "late"):
        (folder / name).mkdir()
    audio = folder / "audio.wav"
    seconds = np.arange(int(SAMPLE_RATE * frames / FPS)) / SAMPLE_RATE
    write_wav(audio, 0.1 * np.sin(2 * np.pi * 140 * seconds) * np.maximum(0, np.sin(2 * np.pi * 2 * seconds)))
    made = 0
    for video in (path for path in sorted(videos.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES):
        if made == clips:
            break
        try:
            found = clip_frames(video, frames, size)
        except MediaError:
            continue
        if not found:
            continue
        for name, start, crf in (("true", LATE_FRAMES, 18), ("late", 0, 28)):
            with VideoWriter(folder / name / f"clip_{made:02d}.mp4", size, FPS, audio, crf=crf) as writer:
                for frame in found[start : start + frames]:
                    writer.write(frame)
        made += 1
    return made


def evaluate(folder: Path, jobs: int, sync: bool) -> dict[str, float]:
    """One call: seconds by part."""
    command = ["eval", "--true", folder / "true", "--generated", f"late={folder / 'late'}"]
    command += ["--output", folder / "out", "--jobs", str(jobs), *([] if sync else ["--skip", *SYNC])]
    run = run_moda(command, codes=(0, 1))
    found = re.search(r"seconds: (.*)", run.output)
    if found is None:
        raise SystemExit(f"moda eval did not print its seconds:\n{run.output}")
    parts = {name: float(seconds) for name, seconds in re.findall(r"(\w+) ([\d.]+)", found[1])}
    return {"wall": run.seconds, "start": round(run.seconds - sum(parts.values()), 1), **parts, "CPU": run.cpu_seconds}


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("videos", type=Path, help="folder of talking videos")
    options.add_argument("--clips", type=int, default=20)
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--size", type=int, default=512)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--sync", action="store_true", help="with the sync metrics")
    chosen = options.parse_args(argv)
    if not chosen.videos.is_dir():
        options.error(f"wanted a folder of videos, got {chosen.videos}")
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as name:
        folder = Path(name)
        clips = make_clips(chosen.videos, folder, chosen.clips, round(chosen.seconds * 25), chosen.size)
        calls = {call: evaluate(folder, chosen.jobs, chosen.sync) for call in ("first call", "again")}
    columns = list(calls["first call"])
    rows = [[call, *(record.get(column, "") for column in columns)] for call, record in calls.items()]
    title = f"{clips} clips of {chosen.seconds:g} s, {chosen.size} px, {chosen.jobs} jobs, one method"
    show(title, ["", *columns], rows, f"aim: 20 clips of 10 s in {MAX_SECONDS:g} s on two cores without sync")
    return finish({"benchmark": "evaluate", "clips": clips, "seconds": chosen.seconds, **calls}, chosen)


if __name__ == "__main__":
    sys.exit(main())

"""The dataset at HDTF's size: how fast it opens, what memory that takes, and windows a second by number of workers.

Without STORE one is made in a temporary folder and removed again: one clip is written and its files are hard-linked
for all the others, so that 16 hours take 20 MB of disk. All windows then come from the system's file cache, as they do
where the corpus fits into memory. Start-up is measured in a process of its own: from the store's folder to the first
batch of stage 1, imports apart; its memory is the peak of resident pages, mapped files included. Workers scale with
free cores: on a busy machine read windows a CPU second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import ROOT, cpu_seconds, finish, parser, show

BEGIN = time.perf_counter()
MAX_SECONDS, MAX_MB = 5.0, 1024
"""The project's aims at start-up."""
WORKERS = (0, 1, 2)
BATCH = 8
"""Windows of the longest length in a batch."""


def make_store(root: Path, clips: int, hours: float) -> None:
    """Write a store of `clips` clips that last `hours` together, and one to validate."""
    import numpy as np

    from moda.data.arrays import write_array
    from moda.data.moments import clip_moments, write_moments
    from moda.data.store import ClipStore
    from moda.files import write_json
    from moda.media.audio import write_wav
    from moda.representation import FPS, SAMPLE_RATE, HeadPose, samples_at

    frames = round(hours * 3600 * FPS / clips)
    random = np.random.default_rng(0)
    store = ClipStore.create(root, 512)
    first = root / "clips" / "clip_000"
    first.mkdir()
    time_axis = np.arange(frames)[:, None] / FPS
    subject = random.normal(0, 60, (478, 3)).astype(np.float32)
    sway = np.sin(time_axis * random.uniform(1, 9, 478 * 3)).reshape(frames, 478, 3)
    pose = HeadPose(
        5 * np.sin(time_axis * [1.0, 2.0, 3.0]), 256 + 9 * np.sin(time_axis * [2.0, 1.0, 1.5]), np.ones(frames)
    )
    torso = (random.normal(300, 90, (18, 3)) + np.sin(time_axis)[..., None]).astype(np.float32)
    arrays = {"landmarks": (256 + subject + 4 * sway).astype(np.float32), "tracked": np.ones(frames, bool)}
    for name, array in (arrays | vars(pose) | {"subject": subject, "torso": torso}).items():
        write_array(first, name, array)
    write_moments(first, clip_moments(arrays["landmarks"], pose, torso, subject))
    write_wav(first / "audio.wav", 0.1 * random.standard_normal(samples_at(frames)), SAMPLE_RATE)
    names = [f"clip_{number:03d}" for number in range(clips + 1)]
    for number, name in enumerate(names):
        folder = root / "clips" / name
        folder.mkdir(exist_ok=True)
        for path in [] if number == 0 else first.glob("*[!n]"):  # all but clip.json
            os.link(path, folder / path.name)
        identity = f"person_{number // 2 if number < clips else 'held out'}"
        write_json(folder / "clip.json", {"id": name, "identity": identity, "frames": frames, "has_audio": True})
    store.write_splits({"train": names[:-1], "val": names[-1:]})


def peak_megabytes() -> float:
    """Peak of this process's resident memory since it was started (unlike getrusage's, not its parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status holds no VmHWM")


def start_up(store: Path) -> dict[str, float]:
    """Open the training split as training does, up to its first batch."""
    import cv2

    from moda.data.sequences import MotionSequences, SequenceConfig, collate_by_length, window_batches
    from moda.stages.audio2repr.stage import MIN_STD

    cv2.setNumThreads(1)
    marks = [("imports", time.perf_counter() - BEGIN, peak_megabytes())]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter() - BEGIN, peak_megabytes()))

    train, _ = MotionSequences.splits(SequenceConfig(store=store))
    mark("store and splits")
    train.moments(list(MIN_STD))
    mark("statistics")
    batch = window_batches(train, BATCH, 0)[0]
    collate_by_length([train[window] for window in batch])
    mark("first batch")
    seconds = {
        name: after - before for (name, after, _), before in zip(marks, [0.0, *(m[1] for m in marks)], strict=False)
    }
    return {
        **{name: round(value, 3) for name, value in seconds.items()},
        "start_up": round(sum(seconds.values()) - seconds["imports"], 3),
        "imports_megabytes": round(marks[0][2]),
        "peak_megabytes": round(marks[-1][2]),
        "clips": len(train.clips),
        "hours": round(sum(clip.frames for clip in train.clips) / 25 / 3600, 2),
    }


def windows_per_second(store: Path, stage: int, workers: int, batches: int) -> dict[str, float]:
    """Windows and frames a second, and windows a CPU second of all processes, over `batches` batches.

    The batches are the same ones for any number of workers. The clock starts at the first one, when the
    workers have started; CPU time counts from before.
    """
    from torch.utils.data import DataLoader

    from moda.data.sequences import MotionSequences, SequenceConfig, collate_by_length, window_batches

    train, _ = MotionSequences.splits(SequenceConfig(store=store), audio=stage == 1, face=stage == 2)
    keys = window_batches(train, BATCH, 0)[: batches + 1]
    loader = DataLoader(train, batch_sampler=keys, collate_fn=collate_by_length, num_workers=workers)
    windows, frames, cpu, begin = 0, 0, cpu_seconds(), 0.0
    for number, (batch,) in enumerate(loader):
        windows += batch["lips"].shape[0]
        frames += batch["lips"].shape[0] * batch["lips"].shape[1]
        if number == 0:
            first_windows, first_frames, begin = windows, frames, time.perf_counter()
    seconds = time.perf_counter() - begin  # the loop's end has joined the workers
    return {
        "stage": stage,
        "workers": workers,
        "windows": round((windows - first_windows) / seconds, 1),
        "frames": round((frames - first_frames) / seconds),
        "windows_per_cpu_second": round(windows / (cpu_seconds() - cpu), 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("store", type=Path, nargs="?", help="a clip store (default: one is made and removed)")
    options.add_argument("--clips", type=int, default=421, help="of the store that is made (default: %(default)s)")
    options.add_argument("--hours", type=float, default=16.0, help="their length together (default: %(default)s)")
    options.add_argument("--batches", type=int, default=40, help="batches a row (default: %(default)s)")
    options.add_argument("--start-up", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args(argv)
    if chosen.start_up:
        print(json.dumps(start_up(chosen.store)))
        return 0
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as folder:
        if chosen.store is None:
            make_store(Path(folder), chosen.clips, chosen.hours)
        return measure(chosen.store or Path(folder), chosen)


def measure(store: Path, chosen: argparse.Namespace) -> int:
    import cv2

    cv2.setNumThreads(1)
    command = [sys.executable, "-m", "benchmarks.dataset", str(store), "--start-up"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    opening = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    rows = [windows_per_second(store, stage, workers, chosen.batches) for stage in (1, 2) for workers in WORKERS]
    show(
        f"{opening['clips']} clips, {opening['hours']} hours; windows of 70, 150 and 300 frames",
        ["stage", "workers", "windows/s", "frames/s", "windows/CPU s"],
        [row.values() for row in rows],
        ", ".join(f"{name} {opening[name]:.2f} s" for name in ("store and splits", "statistics", "first batch")),
        f"open in {opening['start_up']:.2f} s (aim {MAX_SECONDS:g}), after {opening['imports']:.2f} s of imports",
        f"peak memory {opening['peak_megabytes']} MB (aim {MAX_MB}), {opening['imports_megabytes']} by imports",
    )
    return finish({"benchmark": "dataset", "start_up": opening, "windows": rows}, chosen)


if __name__ == "__main__":
    sys.exit(main())

"""The dataset at HDTF's size: how fast it opens, what memory that takes, and windows a second by workers.

    python benchmarks/dataset.py [STORE] [--clips 421] [--hours 16] [--batches 40] [--copies] [--json]

Without STORE one is made in a temporary folder and removed again: one clip is written and its files
are hard-linked for all the others, so that 16 hours take 20 MB of disk. All windows then come from
the system's file cache, as they do where the corpus fits into memory; `--copies` writes every clip
(9 GB for 16 hours). Start-up is measured in a process of its own: from the store's folder to the
first batch of stage 1, imports apart. Its memory is the peak of resident pages (VmHWM), mapped files
included. Workers scale by cores that are free: on a busy machine look at windows a CPU second, which
says what a worker adds in work, not at the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BEGIN = time.perf_counter()
TARGET_SECONDS, TARGET_MEGABYTES = 5.0, 1024
WORKERS = (0, 1, 2)
BATCH = 8
"""Windows of the longest length in a batch."""


def make_store(root: Path, clips: int, hours: float, copies: bool) -> int:
    """Write a store of `clips` clips that last `hours` together, and one to validate; returns frames a clip."""
    import numpy as np

    from moda.data.clip import ClipStore, write_array
    from moda.data.moments import clip_moments, write_moments
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
            (shutil.copyfile if copies else os.link)(path, folder / path.name)
        identity = f"person_{number // 2 if number < clips else 'held out'}"
        write_json(folder / "clip.json", {"id": name, "identity": identity, "frames": frames, "has_audio": True})
    store.write_splits({"train": names[:-1], "val": names[-1:]})
    return frames


def peak_megabytes() -> float:
    """Peak of this process's resident memory since it was started (unlike getrusage's, not its parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status says nothing of VmHWM")


def start_up(store: Path) -> dict[str, float]:
    """Open the training split as training does, up to its first batch."""
    from moda.data.sequences import MotionSequences, SequenceConfig, collate_by_length, window_batches
    from moda.media.threads import use_one_thread
    from moda.stages.audio2repr.stage import MIN_STD

    use_one_thread()
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


def cpu_seconds() -> float:
    """CPU time of this process and of its finished children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


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


def measure(store: Path, batches: int) -> dict[str, Any]:
    from moda.media.threads import use_one_thread

    use_one_thread()
    command = [sys.executable, __file__, str(store), "--start-up"]
    opening = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    rows = [windows_per_second(store, stage, workers, batches) for stage in (1, 2) for workers in WORKERS]
    alone = {row["stage"]: row["windows"] for row in rows if row["workers"] == 0}
    one = {row["stage"]: row["windows"] for row in rows if row["workers"] == 1}
    for row in rows:
        row["to_no_worker"] = round(row["windows"] / alone[row["stage"]], 2)
        row["to_one_worker"] = round(row["windows"] / one[row["stage"]], 2)
    return {
        "benchmark": "dataset",
        "start_up": opening,
        "windows": rows,
        "target": {"start_up": TARGET_SECONDS, "peak_megabytes": TARGET_MEGABYTES},
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def show(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console, opening = Console(), record["start_up"]
    parts = ", ".join(f"{name} {opening[name]:.2f} s" for name in ("store and splits", "statistics", "first batch"))
    console.print(f"{opening['clips']} clips, {opening['hours']} hours: open in {opening['start_up']:.2f} s ({parts});")
    console.print(
        f"imports before that {opening['imports']:.2f} s. Peak memory {opening['peak_megabytes']} MB, of which "
        f"{opening['imports_megabytes']} MB were there after the imports."
    )
    console.print(f"asked for: {TARGET_SECONDS:g} s and {TARGET_MEGABYTES} MB")
    table = Table(title="windows of 70, 150 and 300 frames")
    for column in ("stage", "workers", "windows/s", "frames/s", "windows/CPU s", "to no worker", "to one worker"):
        table.add_column(column, justify="right")
    for row in record["windows"]:
        table.add_row(*map(str, row.values()))
    console.print(table)
    console.print(f"{record['cores']} cores, load {record['load']}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Start-up, memory and speed of the dataset.")
    parser.add_argument("store", type=Path, nargs="?", help="a clip store (default: one is made and removed)")
    parser.add_argument("--clips", type=int, default=421, help="clips of the store that is made (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=16.0, help="their length together (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=40, help="batches a line of the table (default: %(default)s)")
    parser.add_argument("--copies", action="store_true", help="write every clip instead of linking one")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--start-up", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start_up:
        print(json.dumps(start_up(options.store)))
        return 0
    if options.store is not None:
        record = measure(options.store, options.batches)
    else:
        with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as folder:
            make_store(Path(folder), options.clips, options.hours, options.copies)
            record = measure(Path(folder), options.batches)
    show(record)
    if options.json:
        print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())

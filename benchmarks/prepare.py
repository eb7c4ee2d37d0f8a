"""Preparation: frames a second and a core, by step, on one video.

    python benchmarks/prepare.py VIDEO [--size 512] [--json]

The video goes through all steps of data_prepare twice in this process, with one job, into a folder
that is thrown away; the first time warms up (imports, models), the second is measured. Wall is what
a clock sees; CPU adds up all threads and ffmpeg's processes, so frames a CPU second is the speed of
a core whatever else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from data_prepare.job import Job, Options
from data_prepare.steps import STEPS, VERSIONS
from moda.errors import ModaError
from moda.media.threads import use_one_thread

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""As in data_prepare's own processes; numerical libraries read it when they are loaded."""
TARGET = 40.0
"""Frames a CPU second asked for at 512 px."""


def cpu_seconds() -> float:
    """CPU time of this process and of its finished children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def prepare_once(video: Path, options: Options) -> tuple[Job, dict[str, tuple[float, float]]]:
    """Run all steps; returns the finished job and (wall, CPU) seconds by step."""
    seconds: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as folder:
        job = Job(video, video.name, video.stem, video.stem, Path(folder), options, VERSIONS)
        for step in STEPS:
            wall, cpu = time.perf_counter(), cpu_seconds()
            step.run(job)
            seconds[step.name] = (time.perf_counter() - wall, cpu_seconds() - cpu)
    return job, seconds


def measure(video: Path, options: Options) -> dict[str, Any]:
    """Warm up, measure, and put the figures into one record."""
    prepare_once(video, options)
    job, seconds = prepare_once(video, options)
    frames = len(job.landmarks)
    seconds["all steps"] = (sum(wall for wall, _ in seconds.values()), sum(cpu for _, cpu in seconds.values()))
    steps = {
        name: {
            "seconds": round(wall, 3),
            "cpu_seconds": round(cpu, 3),
            "frames_per_second": round(frames / max(wall, 1e-9), 1),
            "frames_per_cpu_second": round(frames / max(cpu, 1e-3), 1),
        }
        for name, (wall, cpu) in seconds.items()
    }
    return {
        "benchmark": "prepare",
        "video": str(video),
        "source": f"{job.info.width}x{job.info.height}",
        "size": options.size,
        "frames": frames,
        "steps": steps,
        "frames_per_second_per_core": steps["all steps"]["frames_per_cpu_second"],
        "target": TARGET,
        "load": round(os.getloadavg()[0], 2),
    }


def show(record: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title=f"preparation of {record['frames']} frames, {record['source']} to {record['size']} px, one job")
    for column in ("step", "seconds", "CPU seconds", "frames/s", "frames a CPU second"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for name, step in record["steps"].items():
        if name == "all steps":
            table.add_section()
        # A rate is worth printing only for steps that take time.
        rates = [step["frames_per_second"], step["frames_per_cpu_second"]] if step["seconds"] >= 0.01 else ["", ""]
        table.add_row(name, f"{step['seconds']:.2f}", f"{step['cpu_seconds']:.2f}", *map(str, rates))
    console = Console()
    console.print(table)
    console.print(f"asked for: {TARGET:g} frames a CPU second at 512 px. Load of the machine: {record['load']}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of preparation on one video, by step.")
    parser.add_argument("video", type=Path)
    parser.add_argument("--size", type=int, default=512, help="side of the stored video (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    if not ONE_THREAD.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    use_one_thread()
    try:
        record = measure(options.video, Options(size=options.size, allow_silent=True))
    except ModaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(record)
    if options.json:
        print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Preparation: frames a second and a core, by step, and what a second job brings.

    python benchmarks/prepare.py VIDEO [--size 512] [--copies 4] [--json]

First the video goes through the scan and all steps in this process, ffmpeg beside it, all on one core,
twice: the first time warms up (imports, models), the second is measured. CPU adds up all threads and
processes, so frames a CPU second is the speed of that core.

Then `scripts/prepare.py` makes a store of `copies` of the video, as a whole process: with one job on one
core, with two jobs on two, and with one job on all cores. Start-up (two processes import and load) counts.
Two cores may be halves of one: how much two busy processes bring on this machine at all stands beside it.

The projection for HDTF is its length times 25 frames, through all steps at the measured speed of a core.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from data_prepare.job import Job
from data_prepare.options import Options
from data_prepare.scan.video import scan_video
from data_prepare.sources.folder import SourceVideo
from data_prepare.step_results import store_results
from data_prepare.steps import STEPS
from moda.errors import ModaError
from moda.media.threads import use_one_thread
from moda.representation import FPS

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""As in data_prepare's own processes; numerical libraries read it when they are loaded."""
TARGET = 60.0
"""Frames a CPU second asked for at 512 px."""
HDTF_HOURS = 16.35
CORES = 8
"""Of the machine that the projection is for."""


def cpu_seconds() -> float:
    """CPU time of this process and of its finished children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def prepare_once(video: Path, options: Options) -> tuple[Job, dict[str, tuple[float, float]]]:
    """Scan, then run all steps on the first shot; returns the finished job and (wall, CPU) seconds by step."""
    seconds: dict[str, tuple[float, float]] = {}

    def timed(name: str, began: tuple[float, float]) -> None:
        seconds[name] = (time.perf_counter() - began[0], cpu_seconds() - began[1])

    source = SourceVideo(video, video.parent, video.name, "clip", "someone")
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as name:
        began = time.perf_counter(), cpu_seconds()
        scan = scan_video(source, Path(name), options, lambda frames: None)
        timed("scan", began)
        folder = Path(name) / "clip"
        folder.mkdir()
        job = Job("clip", source, scan.shots[0], folder, options)
        for step in STEPS:
            began = time.perf_counter(), cpu_seconds()
            step.run(job)
            store_results(job, step.makes)
            timed(step.name, began)
    return job, seconds


def by_step(video: Path, options: Options) -> dict[str, Any]:
    """Warm up, measure, and put the figures into one record."""
    prepare_once(video, options)
    job, seconds = prepare_once(video, options)
    frames = len(job.landmarks)
    seconds["all"] = (sum(wall for wall, _ in seconds.values()), sum(cpu for _, cpu in seconds.values()))
    steps = {
        name: {
            "seconds": round(wall, 3),
            "cpu_seconds": round(cpu, 3),
            "cpu_ms_a_frame": round(1000 * cpu / frames, 3),
            "frames_per_cpu_second": round(frames / max(cpu, 1e-3), 1),
        }
        for name, (wall, cpu) in seconds.items()
    }
    speed = steps["all"]["frames_per_cpu_second"]
    return {
        "benchmark": "prepare",
        "video": str(video),
        "source": f"{job.info.width}x{job.info.height}",
        "size": options.size,
        "frames": frames,
        "steps": steps,
        "frames_per_second_per_core": speed,
        "target": TARGET,
        "hdtf_minutes": round(HDTF_HOURS * 3600 * FPS / speed / CORES / 60, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def scaling(video: Path, options: Options, copies: int) -> dict[str, float]:
    """Seconds of whole runs over `copies` of the video, by how many jobs on how many cores."""
    cores = sorted(os.sched_getaffinity(0))
    runs = {"1 job, 1 core": (1, cores[:1]), "2 jobs, 2 cores": (2, cores[:2]), "1 job, all cores": (1, cores)}
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as name:
        videos = Path(name) / "videos"
        videos.mkdir()
        for number in range(copies):
            (videos / f"{number}{video.suffix}").symlink_to(video.resolve())
        for number, (label, (jobs, where)) in enumerate(runs.items()):
            command = [sys.executable, str(ROOT / "scripts" / "prepare.py"), str(videos), f"{name}/out{number}"]
            command += ["--jobs", str(jobs), "--size", str(options.size), "--allow-silent"]
            if options.sync is not None:
                command += ["--set", f"options.sync={options.sync}"]
            began = time.perf_counter()
            subprocess.run(
                command,
                check=True,
                capture_output=True,
                preexec_fn=lambda where=where: os.sched_setaffinity(0, where),  # type: ignore[misc]
            )
            seconds[label] = round(time.perf_counter() - began, 2)
    return seconds


_BUSY = """
import sys, time, numpy
square, count, end = numpy.ones((256, 256), numpy.float32), 0, time.perf_counter() + 3
while time.perf_counter() < end:
    square @ square
    count += 1
print(count)
"""


def machine_scaling() -> float:
    """How many times as much two processes multiply on two cores as one does on one."""
    cores = sorted(os.sched_getaffinity(0))[:2]

    def multiplied(where: list[int]) -> int:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", _BUSY],
                stdout=subprocess.PIPE,
                preexec_fn=lambda core=core: os.sched_setaffinity(0, [core]),  # type: ignore[misc]
            )
            for core in where
        ]
        return sum(int(process.communicate()[0]) for process in processes)

    alone = multiplied(cores[:1])
    return round(multiplied(cores) / alone, 2)


def show(record: dict[str, Any]) -> None:
    """Print the tables."""
    table = Table(title=f"preparation of {record['frames']} frames, {record['source']} to {record['size']} px, one job")
    for column in ("step", "seconds", "CPU seconds", "CPU ms a frame", "frames a CPU second"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for name, step in record["steps"].items():
        if name == "all":
            table.add_section()
        # A rate is worth printing only for steps that take time.
        rate = str(step["frames_per_cpu_second"]) if step["cpu_seconds"] >= 0.05 else ""
        ms = f"{step['cpu_ms_a_frame']:.2f}"
        table.add_row(name, f"{step['seconds']:.2f}", f"{step['cpu_seconds']:.2f}", ms, rate)
    console = Console()
    console.print(table)
    console.print(f"asked for: {TARGET:g} frames a CPU second at 512 px. Load of the machine: {record['load']}")
    if runs := record["scaling"]:
        one, two = runs["1 job, 1 core"], runs["2 jobs, 2 cores"]
        lines = ", ".join(f"{label}: {seconds:g} s" for label, seconds in runs.items())
        console.print(f"whole runs over {record['copies']} copies: {lines}")
        console.print(f"two jobs on two cores are {one / two:.2f} times one on one (asked for: 1.8)")
        console.print(
            f"the machine itself: two busy processes do {record['machine_scaling']:.2f} times the work of one"
        )
    console.print(f"HDTF, {HDTF_HOURS:g} hours, on {CORES} such cores: {record['hdtf_minutes']:.0f} minutes")


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of preparation on one video: by step, and with two jobs.")
    parser.add_argument("video", type=Path)
    parser.add_argument("--size", type=int, default=512, help="side of the stored video (default: %(default)s)")
    parser.add_argument("--copies", type=int, default=4, help="videos of the runs as whole processes; 0: no such runs")
    parser.add_argument("--sync", type=Path, help="another checkpoint of stage sync")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    if not ONE_THREAD.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    use_one_thread()
    options = Options(size=arguments.size, allow_silent=True, sync=arguments.sync)
    try:
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, [min(cores)])
        record = by_step(arguments.video.resolve(), options)
        os.sched_setaffinity(0, cores)
        record |= {"copies": arguments.copies, "scaling": {}, "machine_scaling": 1.0}
        if arguments.copies and len(cores) > 1:
            record["scaling"] = scaling(arguments.video, options, arguments.copies)
            record["machine_scaling"] = machine_scaling()
    except ModaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(record)
    if arguments.json:
        print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())

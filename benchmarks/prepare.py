"""Speed of preparation by step: frames a second of one core.

The video goes through the scan and all steps in this process, on one core, twice: the first time
warms up (imports, models), the second is measured. CPU adds up all threads, so frames a CPU second is
the speed of that core. The projections are the lengths of HDTF and VoxCeleb2 at that speed, on as many
such cores as they name, all of them busy: a core works on one video at a time and shares nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from benchmarks.measuring import cpu_seconds, finish, parser, show
from data_prepare.job import Job
from data_prepare.options import Options
from data_prepare.scan.video import scan_video
from data_prepare.sources.folder import SourceVideo
from data_prepare.step_results import store_results
from data_prepare.steps import STEPS
from moda.cli.main import run
from moda.representation import FPS

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""As in data_prepare's own processes; numerical libraries read it when they are loaded."""
MIN_FRAMES_A_CPU_SECOND = 60.0
"""The project's aim at 512 px."""
CORPORA = (("HDTF", 16.35, 8), ("VoxCeleb2", 2400.0, 64))
"""Name, length in hours, and cores that its projection is for."""


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


def main(argv: Sequence[str] | None = None) -> int:
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    options = parser(__doc__)
    options.add_argument("video", type=Path)
    options.add_argument("--size", type=int, default=512, help="side of the stored video (default: %(default)s)")
    chosen = options.parse_args(argv)
    if not ONE_THREAD.items() <= os.environ.items():
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.prepare", *sys.argv[1:]], {**os.environ, **ONE_THREAD}
        )
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    settings = Options(size=chosen.size, allow_silent=True)
    prepare_once(chosen.video.resolve(), settings)
    job, seconds = prepare_once(chosen.video.resolve(), settings)
    frames = len(job.landmarks)
    seconds["all"] = (sum(wall for wall, _ in seconds.values()), sum(cpu for _, cpu in seconds.values()))
    speed = frames / seconds["all"][1]
    rows = [[name, f"{wall:.2f}", f"{cpu:.2f}", f"{1000 * cpu / frames:.2f}"] for name, (wall, cpu) in seconds.items()]
    title = f"{frames} frames, {job.info.width}x{job.info.height} to {chosen.size} px, one core"
    hours = {name: length * 3600 * FPS / speed / cores / 3600 for name, length, cores in CORPORA}
    show(
        title, ["step", "seconds", "CPU seconds", "CPU ms a frame"], rows,
        f"{speed:.1f} frames a CPU second (aim at 512 px: {MIN_FRAMES_A_CPU_SECOND:g})",
        *(f"{name}, {length:g} hours, on {cores} such cores: {hours[name]:.1f} h" for name, length, cores in CORPORA),
    )  # fmt: skip
    record = {"benchmark": "prepare", "size": chosen.size, "frames": frames, "seconds": seconds, "hours": hours}
    return finish(record, chosen)


if __name__ == "__main__":
    sys.exit(main())

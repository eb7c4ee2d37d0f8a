"""What `moda infer` does once its arguments are good: make one video, show how far it is, say how long it took."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moda.animation import InferenceConfig
from moda.device import DeviceName, choose_device, describe_device
from moda.jobs.job import Job
from moda.jobs.making import Models, Timings, make_video, provenance_of


def animate(job: Job, config: InferenceConfig, device_name: DeviceName) -> int:
    """Make one video and say how long it took; returns the exit code."""
    device = choose_device(device_name)
    print(f"device: {describe_device(device)}", flush=True)
    timings = Timings()
    made = make_video(job, Models(config, device), timings, provenance_of(job, config), bar)
    print(timings.report(made.frames, config.fps))
    print(f"{job.output}: {made.seconds:.2f} s, {made.size[0]}x{made.size[1]}, {config.fps:g} fps")
    return 0


def bar(frames: Iterator[np.ndarray], count: int) -> Generator[np.ndarray]:
    """Pass frames on and show on stderr how far they are."""
    columns = (TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=count)  # `track` of rich 13 has a thread that outlives an interruption
        for frame in frames:
            yield frame
            progress.advance(task)

"""A long audio through stages 1 and 2: how many times faster than real time, and whether memory stays flat.

    python benchmarks/long_audio.py [--minutes 6 60] [--threads 2] [--set flow_steps=4] [--json]

Each length is a process of its own: assets/demo.wav repeated with changing gains, `Animator.motion`, then
`Animator.landmark_parts`, whose parts are dropped as they come (kept, the landmarks of an hour take 536 MB).
The audio (230 MB an hour in float32) and the motion (130 MB) are there as a whole; what the process
needs beyond them and beyond a start with ten seconds of audio is the figure to stay flat. "A CPU second" adds
up all threads, and says on a busy machine what an idle one would do a core.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
TARGET = 100.0
"""Times real time asked for on two cores."""
MIB = 2**20


def make_audio(path: Path, seconds: float) -> Any:
    """The audio of a file again and again, each time with another gain of up to 12 dB less: (N,) float32."""
    import numpy as np

    from moda.media.audio import read_audio
    from moda.representation import SAMPLE_RATE

    piece = read_audio(path)
    random = np.random.default_rng(0)
    wave = np.empty(round(seconds * SAMPLE_RATE), np.float32)
    for start in range(0, len(wave), len(piece)):
        part = wave[start : start + len(piece)]
        part[:] = piece[: len(part)] * np.float32(10 ** random.uniform(-0.6, 0))
    return wave


def animate(options: argparse.Namespace) -> dict[str, Any]:
    """In the child: one length through both stages; seconds by stage and memory in MiB."""
    import numpy as np
    import torch

    from moda.config import apply_overrides, load_yaml, parse
    from moda.pipeline import AnimationConfig, Animator

    if options.threads:
        torch.set_num_threads(options.threads)
    portrait = pickle.loads(options.portrait.read_bytes())  # written by the parent process
    tree = apply_overrides(load_yaml(options.config), options.set)
    animator = Animator.from_config(parse(AnimationConfig, tree, source=str(options.config)), torch.device("cpu"))
    for _ in animator.landmark_parts(animator.motion(make_audio(options.audio, 10.0), portrait), portrait):
        pass
    start = _peak()
    wave = make_audio(options.audio, 60 * options.child)
    begin, worked = time.perf_counter(), time.process_time()
    motion = animator.motion(wave, portrait)
    made = time.perf_counter()
    frames, finite = 0, True
    for face, torso in animator.landmark_parts(motion, portrait):
        frames += len(face)
        finite = finite and bool(np.isfinite(face).all() and np.isfinite(torso).all())
    placed, worked = time.perf_counter(), time.process_time() - worked
    if frames != len(motion) or not finite:
        raise SystemExit(f"{frames} frames of landmarks for {len(motion)} of motion, finite: {finite}")
    sizes = {
        "audio": wave.nbytes,
        "motion": sum(part.nbytes for part in (motion.lips, motion.eyes, motion.head, motion.torso)),
    }
    peak = _peak()
    return {
        "minutes": options.child,
        "frames": frames,
        "threads": torch.get_num_threads(),
        "seconds": {"motion": round(made - begin, 2), "landmarks": round(placed - made, 2)},
        "times_real_time": round(60 * options.child / (placed - begin), 1),
        "cpu_seconds": round(worked, 2),
        "seconds_a_cpu_second": round(60 * options.child / worked, 1),
        "start_mib": round(start / MIB, 1),
        **{f"{name}_mib": round(size / MIB, 1) for name, size in sizes.items()},
        "peak_mib": round(peak / MIB, 1),
        "beyond_mib": round((peak - start - sum(sizes.values())) / MIB, 1),
    }


def _peak() -> int:
    """Largest resident size of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All lengths, each in a process of its own; the portrait is understood here, once."""
    from moda.media.picture import read_picture
    from moda.tracking.portrait import make_portrait

    runs = []
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as name:
        portrait = Path(name) / "portrait.pickle"
        portrait.write_bytes(pickle.dumps(make_portrait(read_picture(options.picture), 256, source=options.picture)))
        for minutes in sorted(options.minutes):
            command = [sys.executable, __file__, "--child", str(minutes), "--portrait", str(portrait)]
            command += ["--audio", str(options.audio), "--config", str(options.config)]
            command += ["--threads", str(options.threads)]
            command += [word for setting in options.set for word in ("--set", setting)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            runs.append(json.loads(found.stdout.splitlines()[-1]))
    return {
        "benchmark": "long_audio",
        "cores": os.cpu_count(),
        "settings": options.set,
        "load": round(os.getloadavg()[0], 2),
        "runs": runs,
    }


def show(record: dict[str, Any]) -> None:
    """Print a column a length."""
    runs = record["runs"]
    table = Table(title=f"stages 1 and 2, {record['cores']} cores, {runs[0]['threads']} threads")
    table.add_column("")
    for run in runs:
        table.add_column(f"{run['minutes']:g} minutes, {run['frames']} frames", justify="right")
    for stage in ("motion", "landmarks"):
        table.add_row(stage, *[f"{run['seconds'][stage]:.1f} s" for run in runs])
    table.add_row("times real time", *[f"{run['times_real_time']:.1f}" for run in runs])
    table.add_row("seconds of audio a CPU second", *[f"{run['seconds_a_cpu_second']:.1f}" for run in runs])
    table.add_section()
    for key, title in (
        ("start_mib", "process with 10 s of audio"),
        ("audio_mib", "audio"),
        ("motion_mib", "motion"),
        ("peak_mib", "peak"),
        ("beyond_mib", "peak beyond the three"),
    ):
        table.add_row(title, *[f"{run[key]:.0f} MiB" for run in runs])
    console = Console()
    console.print(table)
    console.print(f"Asked for: {TARGET:g} times real time on 2 cores. Load of the machine at the end: {record['load']}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed and memory of stages 1 and 2 on long recordings.")
    parser.add_argument("--audio", type=Path, default=ROOT / "assets" / "demo.wav")
    parser.add_argument("--picture", type=Path, default=ROOT / "assets" / "demo.png")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "default" / "infer.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of it")
    parser.add_argument("--minutes", type=float, nargs="+", default=[6.0, 60.0], help="lengths (default: 6 60)")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch (default: as it chooses)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--portrait", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(animate(options)))
        return 0
    record = measure(options)
    show(record)
    if options.json:
        print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())

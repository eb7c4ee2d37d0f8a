"""Inference: frames a second by stage, and memory at two lengths of audio.

    python benchmarks/inference.py [--audio WAV] [--picture PNG] [--seconds 10 60] [--untrained] [--json]

Each length is one run of scripts/infer.py as a whole process, started with the default
configuration (256 px): stages as it prints them, "start" is what is left of the wall time
(interpreter, imports), CPU adds up all threads and ffmpeg. Peak memory is the largest resident size
of infer.py, or of one of its children if that were larger. The audio is repeated or cut to length.

--untrained makes checkpoints with random weights from configs/default first: the speed is the same,
and no training is needed.
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
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("audio2repr", "faco", "renderer")
TARGET = 5.0
"""Frames a second asked for on two cores at 256 px, everything counted."""


def write_audio(source: Path, seconds: float, path: Path) -> None:
    """Repeat or cut an audio recording to `seconds`."""
    import numpy as np

    from moda.media.audio import read_audio, write_wav
    from moda.representation import SAMPLE_RATE

    write_wav(path, np.resize(read_audio(source), round(seconds * SAMPLE_RATE)))


def write_untrained(folder: Path) -> list[str]:
    """Save checkpoints of configs/default with random weights; returns the overrides that name them."""
    import torch

    from moda import checkpoint
    from moda.config import load_yaml
    from moda.representation import SIGNATURE
    from moda.stages.registry import build_network

    torch.manual_seed(0)
    overrides = []
    for stage in STAGES:
        source = ROOT / "configs" / "default" / f"{stage}.yaml"
        section = load_yaml(source).get("network", {})
        network = build_network(stage, section, source=str(source))
        path = folder / f"{stage}.pt"
        config = {"stage": stage, "network": section}
        checkpoint.save(
            path, checkpoint.Checkpoint(stage, config, network.state_dict(), SIGNATURE, None, {"untrained": True})
        )
        overrides += ["--set", f"checkpoints.{stage}={path}"]
    return overrides


def infer(audio: Path, picture: Path, output: Path, extra: list[str]) -> dict[str, Any]:
    """One run of scripts/infer.py: frames, seconds by stage, peak memory in MiB."""
    command = [sys.executable, str(ROOT / "scripts" / "infer.py"), str(audio), str(picture), "--output", str(output)]
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen([*command, *extra], stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read()
    if process.returncode != 0:
        raise SystemExit(f"infer.py ended with code {process.returncode}:\n{said}")
    found = re.search(r"(\d+) frames in [\d.]+ s: (.*)", said)
    if found is None:
        raise SystemExit(f"infer.py did not print its timings:\n{said}")
    stages = {name.strip(): float(s) for name, s in re.findall(r"([^,]+?) ([\d.]+) s(?:,|$)", found[2])}
    return {
        "frames": int(found[1]),
        "seconds": round(wall, 2),
        "frames_per_second": round(int(found[1]) / wall, 2),
        "stages": {"start": round(max(0.0, wall - sum(stages.values())), 2), **stages},
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": round(usage.ru_maxrss / (1024 if sys.platform == "linux" else 2**20), 1),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run all lengths and put the figures into one record."""
    runs = {}
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as name:
        folder = Path(name)
        extra = ["--size", str(options.size), "--device", options.device]
        if options.untrained:
            extra += write_untrained(folder)
        for seconds in sorted(options.seconds):
            audio = folder / f"sound-{seconds:g}.wav"
            write_audio(options.audio, seconds, audio)
            runs[f"{seconds:g}"] = infer(audio, options.picture, folder / f"video-{seconds:g}.mp4", extra)
    shortest, longest = next(iter(runs.values())), list(runs.values())[-1]
    return {
        "benchmark": "inference",
        "size": options.size,
        "device": options.device,
        "untrained": options.untrained,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "runs": runs,
        "frames_per_second": longest["frames_per_second"],
        "target": TARGET,
        "length_ratio": round(longest["frames"] / shortest["frames"], 2),
        "memory_ratio": round(longest["peak_mib"] / shortest["peak_mib"], 3),
    }


def show(record: dict[str, Any]) -> None:
    """Print the table: stages down, lengths across."""
    runs = record["runs"]
    table = Table(title=f"infer.py at {record['size']} px, {record['cores']} cores, device {record['device']}")
    table.add_column("stage")
    for seconds, run in runs.items():
        table.add_column(f"{seconds} s of audio ({run['frames']} frames)", justify="right")
    for stage in next(iter(runs.values()))["stages"]:
        table.add_row(stage, *[_rate(run["frames"], run["stages"][stage]) for run in runs.values()])
    table.add_section()
    table.add_row("whole process", *[_rate(run["frames"], run["seconds"]) for run in runs.values()])
    table.add_row("CPU", *[_rate(run["frames"], run["cpu_seconds"]) for run in runs.values()])
    table.add_row("peak memory", *[f"{run['peak_mib']:.0f} MiB" for run in runs.values()])
    console = Console()
    console.print(table)
    console.print(
        f"{record['length_ratio']:g} times the audio takes {record['memory_ratio']:g} times the memory. "
        f"Asked for: {TARGET:g} frames/s on 2 cores. Load of the machine at the end: {record['load']}"
    )


def _rate(frames: int, seconds: float) -> str:
    return f"{seconds:.1f} s, {frames / seconds:.1f} frames/s" if seconds > 0 else "0.0 s"


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed by stage and memory by length of scripts/infer.py.")
    parser.add_argument("--audio", type=Path, default=ROOT / "assets" / "demo.wav")
    parser.add_argument("--picture", type=Path, default=ROOT / "assets" / "demo.png")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0], help="lengths (default: 10 60)")
    parser.add_argument("--size", type=int, default=256, help="side of the video (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="as of infer.py (default: %(default)s)")
    parser.add_argument("--untrained", action="store_true", help="random weights instead of the shipped checkpoints")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    if min(options.seconds) < 1:
        parser.error(f"--seconds got {min(options.seconds):g}, wanted at least 1")
    record = measure(options)
    show(record)
    if options.json:
        print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Speed of `moda infer` by stage, and its memory, at several lengths of audio.

Each length is a whole process at 256 px: stages as the command prints them; "start" is what is left of the wall time
(interpreter, imports); CPU adds up all threads. The audio is repeated or cut to length. --untrained makes
checkpoints with random weights from configs/default: the speed is the same.

Before that, rendering alone with the warp on the host (OpenCV) and on the device (torch): frames/s, and what a frame
costs by part, in one run; --seconds without a number leaves it at that.
"""

from __future__ import annotations

import re
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import ROOT, finish, parser, run_moda, show
from benchmarks.rendering_parts import PartCosts, part_costs
from moda.device import choose_device

STAGES = ("audio2repr", "faco", "renderer")
PARTS = ("drawing", "warp", "network", "copy")
MIN_FRAMES_A_SECOND = 5.0
"""The project's aim on two cores at 256 px, everything counted."""


def write_audio(source: Path, seconds: float, path: Path) -> None:
    """Repeat or cut an audio recording to `seconds`."""
    import numpy as np

    from moda.media.audio import read_audio, write_wav
    from moda.representation import SAMPLE_RATE

    write_wav(path, np.resize(read_audio(source), round(seconds * SAMPLE_RATE)))


def write_untrained(folder: Path) -> list[str]:
    """Save checkpoints of configs/default with random weights; returns the overrides that name them."""
    from moda import checkpoint
    from moda.config import load_yaml
    from moda.representation import SIGNATURE
    from moda.stages.registry import build_network

    torch.manual_seed(0)
    overrides = []
    for stage in STAGES:
        source = ROOT / "configs" / "default" / f"{stage}.yaml"
        section = load_yaml(source).get("network", {})
        weights = build_network(stage, section, source=str(source)).state_dict()
        config, path = {"stage": stage, "network": section}, folder / f"{stage}.pt"
        checkpoint.save(path, checkpoint.Checkpoint(stage, config, weights, SIGNATURE, None, {"untrained": True}))
        overrides += ["--set", f"checkpoints.{stage}={path}"]
    return overrides


def infer(audio: Path, picture: Path, output: Path, extra: list[str]) -> dict[str, Any]:
    """One run: frames, seconds by stage, peak memory in MiB."""
    run = run_moda(["infer", audio, picture, "--output", output, *extra])
    found = re.search(r"(\d+) frames in [\d.]+ s: (.*)", run.output)
    if found is None:
        raise SystemExit(f"moda infer did not print its timings:\n{run.output}")
    stages = {name.strip(): float(s) for name, s in re.findall(r"([^,]+?) ([\d.]+) s(?:,|$)", found[2])}
    return {
        "frames": int(found[1]),
        "stages": {"start": round(max(0.0, run.seconds - sum(stages.values())), 2), **stages},
        "whole process": run.seconds,
        "CPU": run.cpu_seconds,
        "peak_mib": run.peak_mib,
    }


def rate(frames: int, seconds: float) -> str:
    return f"{seconds:.1f} s, {frames / seconds:.1f} frames/s" if seconds > 0 else "0.0 s"


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("--audio", type=Path, default=ROOT / "assets" / "demo.wav")
    options.add_argument("--picture", type=Path, default=ROOT / "assets" / "demo.png")
    options.add_argument("--seconds", type=float, nargs="*", default=[10.0, 60.0], help="lengths (default: 10 60)")
    options.add_argument("--size", type=int, default=256, help="side of the video (default: %(default)s)")
    options.add_argument("--device", default="cpu", help="as of moda infer (default: %(default)s)")
    options.add_argument("--batch", type=int, default=8, help="frames rendered at once, by part (default: %(default)s)")
    options.add_argument("--untrained", action="store_true", help="random weights instead of the shipped checkpoints")
    chosen = options.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as name:
        folder = Path(name)
        extra = ["--size", str(chosen.size), "--device", chosen.device]
        extra += write_untrained(folder) if chosen.untrained else []
        renderer = folder / "renderer.pt" if chosen.untrained else ROOT / "assets" / "checkpoints" / "renderer.pt"
        device = choose_device(chosen.device)
        costs = part_costs(renderer, chosen.picture, device, chosen.size, chosen.batch)
        show_parts(costs, chosen)
        runs = {}
        for seconds in sorted(chosen.seconds):
            audio = folder / f"audio-{seconds:g}.wav"
            write_audio(chosen.audio, seconds, audio)
            runs[f"{seconds:g}"] = infer(audio, chosen.picture, folder / f"video-{seconds:g}.mp4", extra)
    if runs:
        show_runs(runs, chosen)
    record = {
        "benchmark": "inference", "size": chosen.size, "device": chosen.device, "runs": runs,
        "rendering": {name: asdict(found) for name, found in costs.items()},
    }  # fmt: skip
    return finish(record, chosen)


def show_runs(runs: dict[str, dict[str, Any]], chosen: Namespace) -> None:
    rows = [
        [stage, *(rate(run["frames"], run["stages"][stage]) for run in runs.values())]
        for stage in next(iter(runs.values()))["stages"]
    ]
    rows += [[name, *(rate(run["frames"], run[name]) for run in runs.values())] for name in ("whole process", "CPU")]
    rows.append(["peak memory", *(f"{run['peak_mib']:.0f} MiB" for run in runs.values())])
    columns = ["", *(f"{seconds} s of audio" for seconds in runs)]
    aim = f"aim: {MIN_FRAMES_A_SECOND:g} frames/s on 2 cores, everything counted"
    show(f"moda infer at {chosen.size} px, {chosen.device}", columns, rows, aim)


def show_parts(costs: dict[str, PartCosts], chosen: Namespace) -> None:
    rows = [["frames/s", *(f"{found.frames_per_second:.1f}" for found in costs.values())]]
    rows += [
        [part, *(f"{each.cpu_ms[part]:.2f} / {each.done_ms[part]:.2f}" for each in costs.values())] for part in PARTS
    ]
    show(
        f"rendering alone at {chosen.size} px, {chosen.device}, batches of {chosen.batch}",
        ["", *(f"warp {name}" for name in costs)],
        rows,
        "parts: milliseconds a frame, of CPU / until done; drawing for a warp on the device also places its triangles",
        "aims on one GPU: 200 frames/s at 256 px, 96 at 512 px",
    )


if __name__ == "__main__":
    sys.exit(main())

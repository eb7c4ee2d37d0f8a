"""Speed of the default renderer against the paper's U-Net, on the same landmarks, in one run.

    python benchmarks/renderer.py [--picture PNG] [--frames 64] [--batch 8] [--threads N] [--device cpu] [--json]

Both are opened for one portrait and given the same moving landmarks (the picture's own face, swaying and talking):
the default at 256 px, the paper's U-Net at 512 px, which is its size, and at 256 px. The paper's weights are random,
as speed does not depend on them. A frame is all of `RenderSession.render`: drawing, warp, network, paste. Rounds of
the three alternate and the fastest of each counts, so that other work on the machine hurts all alike. Where the
default's time goes is measured part by part on the same frames; "rest" is what the parts leave of the whole.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from renderer_quality import load_renderer
from rich.console import Console
from rich.table import Table

from moda.cli.main import run
from moda.config import load_yaml
from moda.geometry import apply_head, to_canonical, to_image
from moda.imaging.conditioning import ReferenceConditioner, mouth_window, paint_region, stack_inputs
from moda.imaging.drawing import draw_condition
from moda.imaging.warping import ReferenceWarp
from moda.landmarks import CENTRAL_LIP_PAIRS
from moda.media.picture import read_picture
from moda.representation import Portrait
from moda.stages.registry import build_network
from moda.stages.renderer.inputs import to_inputs
from moda.stages.renderer.network import Renderer
from moda.tracking.portrait import make_portrait

ROOT = Path(__file__).resolve().parents[1]
TARGET = 15.0
"""Times faster than the paper's U-Net that is asked for."""
ROUNDS = 3


def moving(portrait: Portrait, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (T, 478, 3) and torso (T, 18, 3) of a head that sways by 12 degrees with a mouth that opens."""
    phase = np.linspace(0, 4 * np.pi, frames)
    head = np.zeros((frames, 7))
    head[:, 1], head[:, 0] = 12 * np.sin(phase), 4 * np.sin(1.7 * phase)
    canonical = np.repeat(to_canonical(portrait.landmarks[None], portrait.pose), frames, axis=0)
    for upper, lower in CENTRAL_LIP_PAIRS:
        canonical[:, upper, 1] -= 4 * (1 - np.cos(3 * phase))
        canonical[:, lower, 1] += 4 * (1 - np.cos(3 * phase))
    landmarks = to_image(canonical, apply_head(portrait.pose, head)).astype(np.float32)
    return landmarks, np.repeat(portrait.torso[None], frames, axis=0)


def paper_renderer(size: int) -> Renderer:
    """The paper's generator with random weights."""
    source = ROOT / "configs" / "paper" / "renderer.yaml"
    torch.manual_seed(0)
    network = build_network("renderer", {**load_yaml(source)["network"], "size": size}, source=str(source))
    assert isinstance(network, Renderer)
    return network.eval()


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of a call, with what it left to the accelerator."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def parts(renderer: Renderer, portrait: Portrait, face: np.ndarray, torso: np.ndarray, batch: int) -> dict[str, float]:
    """Seconds a frame of the default renderer's parts, each alone on the same frames (CPU)."""
    size, device = renderer.config.size, next(renderer.parameters()).device
    warp = ReferenceWarp(portrait, size)
    targets = warp.targets(face, torso)
    frames = ReferenceConditioner(portrait, size, warp=True).frames(face[:batch], torso[:batch], whole=False)
    inputs = to_inputs({name: tensor.to(device) for name, tensor in stack_inputs(frames).items()})
    renderer(inputs)
    work: dict[str, tuple[Callable[[], object], int]] = {
        "head pose and mesh": (lambda: warp.targets(face, torso), len(face)),
        "warp": (lambda: [warp.warp(target) for target in targets], len(face)),
        "drawing": (lambda: [draw_condition(*points, size) for points in zip(face, torso, strict=True)], len(face)),
        "region": (lambda: [paint_region(points, size, mouth_window(points, size)) for points in face], len(face)),
        "network": (lambda: renderer(inputs), batch),
    }
    with torch.inference_mode():
        return {name: min(seconds(call, device) for _ in range(ROUNDS)) / count for name, (call, count) in work.items()}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    default = load_renderer(options.checkpoint).to(device)
    size = default.config.size
    image = read_picture(options.picture)
    contestants = {
        f"default, {size} px": (default, size, options.frames),
        "paper's U-Net, 512 px": (paper_renderer(512).to(device), 512, options.paper_frames),
        f"paper's U-Net, {size} px": (paper_renderer(size).to(device), size, options.paper_frames),
    }
    sessions, best = {}, dict.fromkeys(contestants, float("inf"))
    for name, (renderer, side, count) in contestants.items():
        portrait = make_portrait(image, side, source=options.picture)
        face, torso = moving(portrait, options.frames)
        sessions[name] = (renderer.open(portrait, device, side), face[:count], torso[:count])
        sessions[name][0].render(face[:1], torso[:1], 0)
    for _ in range(ROUNDS):
        for name, (session, face, torso) in sessions.items():
            spent = seconds(lambda s=session, f=face, t=torso: _render(s, f, t, options.batch), device)  # type: ignore[misc]
            best[name] = min(best[name], spent / len(face))
    portrait = make_portrait(image, size, source=options.picture)
    spent_on = parts(default, portrait, *moving(portrait, options.frames), options.batch)
    whole, paper, _ = best.values()
    spent_on["rest (paste, copies)"] = max(0.0, whole - sum(spent_on.values()))
    return {
        "benchmark": "renderer",
        "device": options.device,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "frames_per_second": {name: round(1 / spent, 2) for name, spent in best.items()},
        "milliseconds": {name: round(1000 * spent, 2) for name, spent in spent_on.items()},
        "times_faster": round(paper / whole, 1),
        "times_faster_same_size": round(list(best.values())[2] / whole, 1),
        "target": TARGET,
    }


def _render(session: Any, face: np.ndarray, torso: np.ndarray, batch: int) -> None:
    for start in range(0, len(face), batch):
        session.render(face[start : start + batch], torso[start : start + batch], start)


def show(record: dict[str, Any]) -> None:
    console = Console()
    table = Table(title=f"Rendering, {record['device']}, {record['threads']} thread(s), load {record['load']}")
    table.add_column("renderer")
    table.add_column("frames/s", justify="right")
    for name, rate in record["frames_per_second"].items():
        table.add_row(name, f"{rate:.2f}")
    console.print(table)
    where = Table(title="Where the default's time goes")
    where.add_column("part")
    where.add_column("ms a frame", justify="right")
    for name, spent in record["milliseconds"].items():
        where.add_row(name, f"{spent:.2f}")
    console.print(where)
    word = "met" if record["times_faster"] >= TARGET else "missed"
    console.print(
        f"{record['times_faster']:g} times the paper's U-Net at its own 512 px (wanted {TARGET:g}: {word}), "
        f"{record['times_faster_same_size']:g} times at the same size"
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Speed of the default renderer against the paper's U-Net.")
    parser.add_argument("--picture", type=Path, default=ROOT / "assets" / "demo.png")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "assets" / "checkpoints" / "renderer.pt")
    parser.add_argument(
        "--frames", type=int, default=64, help="of the default renderer, a round (default: %(default)s)"
    )
    parser.add_argument("--paper-frames", type=int, default=4, help="of the U-Net, a round (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="frames at once (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of torch (default: its own choice)")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(argv)
    if min(options.frames, options.batch, options.paper_frames) < 1:
        parser.error("--frames, --paper-frames and --batch want at least 1")
    record = measure(options)
    show(record)
    if options.json:
        print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))

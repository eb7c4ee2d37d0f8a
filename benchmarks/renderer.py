"""Speed of the default renderer against the paper's U-Net, on the same landmarks, in one run.

Both are opened for one portrait and given the same moving landmarks (the picture's own face, swaying and talking): the
default at 256 px, the paper's U-Net at 512 px, which is its size, and at 256 px. The paper's weights are random, as
speed does not depend on them. A frame is all of `RenderSession.render`: drawing, warp, network, compositing. Rounds of
the three alternate and the fastest of each counts, so that other work on the machine slows all alike.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring import ROOT, finish, parser, show
from benchmarks.self_driven import load_renderer
from moda.cli.main import run
from moda.config import load_yaml
from moda.geometry import apply_head, to_canonical, to_image
from moda.landmarks import CENTRAL_LIP_PAIRS
from moda.media.picture import read_picture
from moda.representation import Portrait
from moda.stages.registry import build_network
from moda.stages.renderer.network import Renderer
from moda.tracking.portrait import make_portrait

MIN_TIMES_FASTER = 15.0
"""The project's aim against the paper's U-Net at 512 px."""
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


def main(argv: Sequence[str] | None = None) -> int:
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    options = parser(__doc__)
    options.add_argument("--picture", type=Path, default=ROOT / "assets" / "demo.png")
    options.add_argument("--checkpoint", type=Path, default=ROOT / "assets" / "checkpoints" / "renderer.pt")
    options.add_argument("--frames", type=int, default=64, help="of the default, a round (default: %(default)s)")
    options.add_argument("--paper-frames", type=int, default=4, help="of the U-Net, a round (default: %(default)s)")
    options.add_argument("--batch", type=int, default=8, help="frames at once (default: %(default)s)")
    options.add_argument("--threads", type=int, help="of torch (default: its own choice)")
    options.add_argument("--device", default="cpu", help="(default: %(default)s)")
    chosen = options.parse_args(argv)
    if min(chosen.frames, chosen.batch, chosen.paper_frames) < 1:
        options.error("--frames, --paper-frames and --batch are at least 1")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    device = torch.device(chosen.device)
    default = load_renderer(chosen.checkpoint).to(device)
    size, image = default.config.size, read_picture(chosen.picture)
    renderers = {
        f"default, {size} px": (default, size, chosen.frames),
        "paper's U-Net, 512 px": (paper_renderer(512).to(device), 512, chosen.paper_frames),
        f"paper's U-Net, {size} px": (paper_renderer(size).to(device), size, chosen.paper_frames),
    }
    sessions, best = {}, dict.fromkeys(renderers, float("inf"))
    for name, (renderer, side, count) in renderers.items():
        portrait = make_portrait(image, side, source=chosen.picture)
        face, torso = moving(portrait, chosen.frames)
        sessions[name] = (renderer.open(portrait, device, side), face[:count], torso[:count])
        sessions[name][0].render(face[:1], torso[:1], 0)
    for _ in range(ROUNDS):
        for name, (session, face, torso) in sessions.items():
            begin = time.perf_counter()
            for start in range(0, len(face), chosen.batch):
                session.render(face[start : start + chosen.batch], torso[start : start + chosen.batch], start)
            best[name] = min(best[name], (time.perf_counter() - begin) / len(face))
    ours, paper, same_size = best.values()
    show(
        f"rendering, {chosen.device}, {torch.get_num_threads()} threads",
        ["renderer", "frames/s"],
        [[name, f"{1 / seconds:.2f}"] for name, seconds in best.items()],
        f"{paper / ours:.1f} times the paper's U-Net at its own 512 px (aim {MIN_TIMES_FASTER:g}), "
        f"{same_size / ours:.1f} times at the same size",
    )
    return finish({"benchmark": "renderer", "device": chosen.device, "seconds_a_frame": best}, chosen)


if __name__ == "__main__":
    sys.exit(main())

"""Stages 2 and 3 as ONNX beside torch on a CPU: milliseconds of CPU a frame with one thread, and how far they differ.

Needs `moda[onnx]` and onnxruntime. torch computes as inference does (`for_cpu`); networks are those that ship, batches
as inference has them. Stage 1 has no form in ONNX (`moda.onnx_export`).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measuring import finish, parser, show
from moda import checkpoint
from moda.animation import AnimationConfig
from moda.nn.inference import for_cpu
from moda.onnx_export import export
from moda.stages.registry import load_network
from moda.stages.renderer.inputs import RendererInput


class Case(NamedTuple):
    """One ONNX file, its inputs, and what torch computes in its place."""

    name: str
    file: Path
    inputs: dict[str, Tensor]
    torch: Callable[[], Tensor]


def cases(folder: Path, frames: int) -> Iterator[Case]:
    """The networks that ship, as files in a folder."""
    import onnxruntime as runtime

    config = AnimationConfig()
    for stage in ("faco", "renderer"):
        source = config.network(stage)
        network = load_network(checkpoint.load(source), {}, source=str(source)).eval()
        parts = {stage: network} if stage == "faco" else {"renderer, mouth": network, "renderer, eyes": network.eyes}
        for (name, part), file in zip(parts.items(), export(source, folder / f"{stage}.onnx"), strict=False):
            assert isinstance(part, nn.Module)
            shapes = {each.name: each.shape for each in runtime.InferenceSession(str(file)).get_inputs()}
            sizes = {key: [frames if isinstance(n, str) else n for n in shape] for key, shape in shapes.items()}
            inputs = {key: torch.rand(size) for key, size in sizes.items()}
            if "frame" in inputs:
                inputs["frame"] = torch.arange(frames)
            yield Case(name, file, inputs, _in_torch(part, inputs))


def _in_torch(part: nn.Module, inputs: dict[str, Tensor]) -> Callable[[], Tensor]:
    if "lips" in inputs:
        return lambda: part(*inputs.values())
    quick, given = for_cpu(part), RendererInput(**inputs)
    return lambda: quick(given).picture


def milliseconds(work: Callable[[], object], frames: int, seconds: float) -> float:
    """Of CPU a frame, the lower quartile of the calls of so many seconds."""
    work()
    taken, end = [], time.perf_counter() + seconds
    while len(taken) < 4 or time.perf_counter() < end:
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return float(np.quantile(taken, 0.25)) * 1000 / frames


def main(argv: Sequence[str] | None = None) -> int:
    made = parser(__doc__)
    made.add_argument("--frames", type=int, default=8, help="computed at once")
    made.add_argument("--seconds", type=float, default=5.0, help="that each is measured for")
    options = made.parse_args(argv)
    import onnxruntime as runtime

    torch.set_num_threads(1)
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    rows: list[tuple[str, float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for case in cases(Path(folder), options.frames):
            session = runtime.InferenceSession(str(case.file), settings, providers=["CPUExecutionProvider"])
            given = {name: value.numpy() for name, value in case.inputs.items()}
            difference = float(np.abs(session.run(None, given)[0] - case.torch().numpy()).max())
            speeds = [
                milliseconds(work, options.frames, options.seconds)
                for work in (case.torch, lambda session=session, given=given: session.run(None, given))
            ]
            rows.append((case.name, *(round(speed, 3) for speed in speeds), difference))  # type: ignore[arg-type]
    columns = ("network", "torch", "onnxruntime", "largest difference")
    show("CPU milliseconds a frame, one thread", columns, [(*row[:3], f"{row[3]:.1e}") for row in rows])
    return finish({name: {"torch": a, "onnxruntime": b, "difference": d} for name, a, b, d in rows}, options)


if __name__ == "__main__":
    sys.exit(main())

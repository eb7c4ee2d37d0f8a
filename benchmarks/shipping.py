"""A checkpoint to ship out of one of a run: without the trainer's state, with fp16 matrices.

    python -m benchmarks.shipping RUN/best.pt assets/checkpoints/NAME.pt
    python -m benchmarks.shipping RUN/last.pt OUTPUT --start START.pt --share 0.5

With --start, weights that lie so far on the way from those that a run started from to its own: less of what a short
training on few people forgets. Vectors (biases, norms, most statistics) stay fp32: they weigh little. So does what
fp16 cannot hold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from moda import checkpoint
from moda.checkpoint import Checkpoint
from moda.cli.main import run
from moda.errors import CheckpointError


def slim(stored: Checkpoint) -> Checkpoint:
    """The checkpoint to ship."""
    weights = {name: _halved(value) for name, value in stored.weights.items()}
    return replace(stored, weights=weights, trainer=None)


def between(start: Checkpoint, end: Checkpoint, share: float) -> Checkpoint:
    """The checkpoint `end` with weights that lie `share` (0..1) of the way from those of `start`.

    Raises `CheckpointError` for two of different architectures.
    """
    shapes = [{name: value.shape for name, value in each.weights.items()} for each in (start, end)]
    if start.stage != end.stage or shapes[0] != shapes[1]:
        raise CheckpointError("weights can be taken between two checkpoints of the same stage and network only")
    weights = {name: _between(start.weights[name], value, share) for name, value in end.weights.items()}
    return replace(end, weights=weights)


def _between(start: Tensor, end: Tensor, share: float) -> Tensor:
    return torch.lerp(start.float(), end.float(), share) if end.is_floating_point() else end


def _halved(value: Tensor) -> Tensor:
    if value.dtype != torch.float32 or value.ndim < 2:
        return value
    half = value.half()
    return half if torch.isfinite(half).all() else value


def main(argv: Sequence[str] | None = None) -> int:
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--start", type=Path, help="checkpoint that the run started from")
    parser.add_argument("--share", type=float, default=0.5, help="of the way from --start (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.share <= 1:
        parser.error(f"--share is {arguments.share:g}, wanted 0 to 1")
    stored = checkpoint.load(arguments.checkpoint)
    if arguments.start is not None:
        stored = between(checkpoint.load(arguments.start), stored, arguments.share)
    checkpoint.save(arguments.output, slim(stored))
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

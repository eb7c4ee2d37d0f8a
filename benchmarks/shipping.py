"""A checkpoint to ship out of one of a run: without the trainer's state, with fp16 matrices.

    python -m benchmarks.shipping RUN/best.pt assets/checkpoints/NAME.pt

Vectors (biases, norms, most statistics) stay fp32: they weigh little. So does what fp16 cannot hold.
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


def slim(stored: Checkpoint) -> Checkpoint:
    """The checkpoint to ship."""
    weights = {name: _halved(value) for name, value in stored.weights.items()}
    return replace(stored, weights=weights, trainer=None)


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
    arguments = parser.parse_args(argv)
    checkpoint.save(arguments.output, slim(checkpoint.load(arguments.checkpoint)))
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Plain building blocks: the two kinds of MLP that the paper's networks are made of.

Dimension letters: B batch, T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from moda.nn.settings import NormKind

LEAKY_RELU_SLOPE = 0.2
"""Negative slope of every LeakyReLU of the paper's networks (docs/method.md, sections 2, 3 and 5)."""


class MLP(nn.Module):
    """(Linear, norm, LeakyReLU 0.2) x (n - 1), Linear on the last axis: (..., C0) -> (..., Cn).

    docs/method.md, section 2 (norm "batch") and section 3 (norm "none").

    Batch norm takes its statistics over all leading axes, flattened to one: (B, T, C) counts as
    B*T rows, and (B, C) as B rows, so training on it needs at least two. "layer" has no such
    limit and behaves alike in training and inference.
    """

    def __init__(self, widths: Sequence[int], norm: NormKind = "batch") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (inner, outer) in enumerate(pairwise(widths)):
            layers.append(nn.Linear(inner, outer))
            if i < len(widths) - 2:
                if norm != "none":
                    layers.append(nn.BatchNorm1d(outer) if norm == "batch" else nn.LayerNorm(outer))
                layers.append(nn.LeakyReLU(LEAKY_RELU_SLOPE))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.layers(x.reshape(-1, x.shape[-1]))
        return rows.reshape(*x.shape[:-1], rows.shape[-1])


class TemporalContext(nn.Module):
    """Residual dilated convolutions over time: (B, T, C) -> (B, T, C), each frame sees its neighbours.

    Not in the paper: there SpecAttn reads the audio of the present frame (M_A) and of the past alone, while lips
    form a phoneme before it is audible. layers: the dilation doubles with each, so that `layers` of kernel k
    see (k - 1) (2^layers - 1) / 2 frames ahead. dropout: of the input of each layer.
    """

    def __init__(self, width: int, layers: int, kernel: int, dropout: float) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel {kernel}: wanted an odd number of frames: as many before as after")
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(dropout),
                nn.Conv1d(width, width, kernel, padding=(kernel // 2) * 2**i, dilation=2**i),
                nn.GELU(),
            )
            for i in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        frames = x.transpose(1, 2)
        for layer in self.layers:
            frames = frames + layer(frames)
        return frames.transpose(1, 2)

"""The generator of the paper's renderer (section 3.3): a U-Net of residual blocks (docs/method.md, section 5).

Dimension letters: B batch, C channels, H W picture height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moda.nn.settings import UNET_LEVELS

MAX_WIDTH_FACTOR = 8
"""Channels double level by level up to this many times the width of the first."""


class ResBlock(nn.Module):
    """Conv 3x3, BN, ReLU, conv 3x3, BN, added to the input, ReLU: (B, C, H, W) unchanged in shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            _conv(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Down(nn.Module):
    """Conv 3x3 stride 2, BN (not at the first and the innermost level), ReLU, ResBlock."""

    def __init__(self, inner: int, outer: int, *, norm: bool) -> None:
        super().__init__()
        self.conv = _conv(inner, outer, stride=2)
        self.norm = nn.BatchNorm2d(outer) if norm else nn.Identity()
        self.block = ResBlock(outer)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(F.relu(self.norm(self.conv(x))))
        return out


class Up(nn.Module):
    """Nearest x2, conv 3x3, BN, ReLU, ResBlock."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv = _conv(inner, outer)
        self.norm = nn.BatchNorm2d(outer)
        self.block = ResBlock(outer)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        out: Tensor = self.block(F.relu(self.norm(self.conv(x))))
        return out


class PaperUNet(nn.Module):
    """(B, in_channels, H, W) in -1..1 -> (B, out_channels, H, W) in -1..1 (tanh).

    The paper's has 19 input channels (condition 3, reference 3, time encoding 13), width 64 and
    depth 8: 76,207,296 parameters. H and W are multiples of 2^depth; in training the innermost
    map needs more than one value a channel in the batch (batch norm), so a batch of one at
    256 x 256 and depth 8 is too little.
    """

    def __init__(self, in_channels: int = 19, out_channels: int = 3, width: int = 64, depth: int = UNET_LEVELS) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth must be at least 2, got {depth}")
        self.multiple = 2**depth
        widths = [width * min(2**level, MAX_WIDTH_FACTOR) for level in range(depth)]
        inners = [in_channels, *widths[:-1]]
        self.downs = nn.ModuleList(
            Down(inner, outer, norm=0 < level < depth - 1)
            for level, (inner, outer) in enumerate(zip(inners, widths, strict=True))
        )
        # From the innermost level outwards; all but the first read the skip connection as well.
        self.ups = nn.ModuleList(
            Up(widths[level] * (1 if level == depth - 1 else 2), widths[level - 1]) for level in range(depth - 1, 0, -1)
        )
        self.out = _conv(2 * widths[0], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise ValueError(f"picture of {width}x{height}, wanted sides that are multiples of {self.multiple}")
        skips: list[Tensor] = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        skips.pop()  # the innermost map is what goes up
        for up in self.ups:
            x = torch.cat((up(x), skips.pop()), dim=1)
        return torch.tanh(self.out(F.interpolate(x, scale_factor=2.0, mode="nearest")))


def _conv(inner: int, outer: int, stride: int = 1) -> nn.Conv2d:
    """3x3, no bias, as everywhere in this network."""
    return nn.Conv2d(inner, outer, 3, stride, padding=1, bias=False)

"""Patch discriminators at several scales (pix2pixHD; docs/method.md, section 5).

Dimension letters: B batch, C channels, H W picture height and width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from moda.nn.blocks import LEAKY_RELU_SLOPE

FeatureMaps = list[Tensor]
"""The output of one scale: the maps of its inner layers, then its logits (B, 1, H', W')."""


class PatchDiscriminator(nn.Module):
    """PatchGAN: `layers` convolutions of stride 2, one of stride 1, and one to the logits.

    All 4x4 with padding 2 and bias; batch norm after all but the first and the last, LeakyReLU 0.2
    after all but the last; widths double up to 8 times the first.
    """

    def __init__(self, in_channels: int, layers: int = 4, width: int = 64) -> None:
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(layers)]
        widths.append(widths[-1])
        blocks: list[nn.Module] = []
        inner = in_channels
        for i, outer in enumerate(widths):
            conv = nn.Conv2d(inner, outer, 4, stride=2 if i < layers else 1, padding=2)
            norm = nn.BatchNorm2d(outer) if i else nn.Identity()
            blocks.append(nn.Sequential(conv, norm, nn.LeakyReLU(LEAKY_RELU_SLOPE)))
            inner = outer
        blocks.append(nn.Conv2d(inner, 1, 4, stride=1, padding=2))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> FeatureMaps:
        maps: FeatureMaps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps


class MultiScaleDiscriminator(nn.Module):
    """The same `PatchDiscriminator`, each with its own weights, at full, half, quarter ... size.

    (B, in_channels, H, W) -> for each scale, its feature maps with the logits last.
    The paper's: 22 channels (condition 3, reference 3, time 13, picture 3), 3 scales, 4 layers,
    width 64: 20,945,475 parameters.
    """

    def __init__(self, in_channels: int = 22, scales: int = 3, layers: int = 4, width: int = 64) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(in_channels, layers, width) for _ in range(scales))

    def forward(self, x: Tensor) -> list[FeatureMaps]:
        results = []
        for i, scale in enumerate(self.scales):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            results.append(scale(x))
        return results

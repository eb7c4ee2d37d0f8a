"""Terms of the renderer's loss on pictures, and how sharp one is: all inside the region of a window.

Dimension letters: B batch, h w height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moda.stages.renderer.inputs import RendererInput


def weight_of(inputs: RendererInput) -> Tensor:
    """How much each pixel counts, (B, 1, h, w): the mouth four times as much as the face around it; 1 without warp."""
    return torch.ones_like(inputs.reference[:, :1]) if inputs.region is None else inputs.region.square()


def masked_l1(picture: Tensor, target: Tensor, region: Tensor) -> Tensor:
    """L1 of (B, 3, h, w) pictures, weighted by region (B, 1, h, w); a scalar."""
    return ((picture - target).abs() * region).sum() / (3 * region.sum()).clamp_min(1.0)


def gradient_l1(picture: Tensor, target: Tensor, region: Tensor) -> Tensor:
    """`masked_l1` of the horizontal and the vertical differences, added."""
    difference = picture - target
    return masked_l1(difference.diff(dim=3), torch.zeros_like(difference[..., 1:]), region[..., 1:]) + masked_l1(
        difference.diff(dim=2), torch.zeros_like(difference[:, :, 1:]), region[:, :, 1:]
    )


def sharpness(picture: Tensor, region: Tensor) -> float:
    """Mean squared Laplacian of the luma inside the region: how much fine detail there is."""
    luma = picture.mean(dim=1, keepdim=True)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=luma.device)[None, None]
    detail = nn.functional.conv2d(luma, kernel, padding=1) ** 2
    return float((detail * region).sum() / region.sum().clamp_min(1.0))

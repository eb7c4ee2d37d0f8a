"""What a renderer is given and what it made of it, beside the truth: the arguments of the losses.

Dimension letters: B batch, h w height and width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from moda.stages.renderer.compositing import RendererOutput
from moda.stages.renderer.inputs import RendererInput, to_inputs, to_signed
from moda.stages.renderer.terms import weight_of


class Windows(NamedTuple):
    """Inputs of one kind of window, and the true pictures (B, 3, h, w) in -1..1."""

    inputs: RendererInput
    target: Tensor

    @staticmethod
    def of(batch: dict[str, Tensor]) -> Windows:
        return Windows(to_inputs(batch), to_signed(batch["target"]))


class Pair(NamedTuple):
    """A rendered batch and its truth. real: the truth inside the region, the warp outside. weight: see `weight_of`."""

    inputs: RendererInput
    target: Tensor
    real: Tensor
    weight: Tensor
    output: RendererOutput

    @staticmethod
    def of(part: Windows, output: RendererOutput) -> Pair:
        inputs, target = part
        real = target
        if inputs.warped is not None and inputs.region is not None:
            real = inputs.warped + (inputs.region > 0) * (target - inputs.warped)
        return Pair(inputs, target, real, weight_of(inputs), output)

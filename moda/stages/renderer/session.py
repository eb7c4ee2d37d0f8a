"""Rendering of one portrait: landmarks to frames, a batch at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from moda.imaging.conditioning import FrameInputs, ReferenceConditioner, cut, picture_tensor, stack_inputs
from moda.representation import Portrait
from moda.stages.renderer.compositing import RendererOutput, composite
from moda.stages.renderer.inputs import NetworkConfig, to_inputs, to_signed


class RenderSession:
    """Computes once what depends on the portrait alone; `render` may be called any number of times."""

    def __init__(
        self, renderer: nn.Module, config: NetworkConfig, portrait: Portrait, device: torch.device, size: int | None
    ) -> None:
        self.size = size or config.size
        self._renderer = renderer
        self._config = config
        self._device = device
        self._conditioner = ReferenceConditioner(portrait, self.size, warp=config.warp)

    @torch.inference_mode()
    def render(self, landmarks: np.ndarray, torso: np.ndarray, first: int) -> np.ndarray:
        """Frames first, first + 1, ... of landmarks (b, 478, 3) and torso (b, 18, 3), square frame.

        Returns (b, size, size, 3) uint8 RGB.
        """
        frames = self._conditioner.frames(landmarks, torso, first)
        batch = {name: self._scaled(tensor).to(self._device) for name, tensor in stack_inputs(frames).items()}
        output: RendererOutput = self._renderer(to_inputs(batch))
        if not self._config.warp:
            return to_pixels(output.picture)
        return self._placed(frames, output)

    def _scaled(self, tensor: Tensor) -> Tensor:
        """The input at the size of training, whatever the size of the frames."""
        if not self._config.warp or self.size == self._config.size or tensor.dim() < 4:
            return tensor
        side = round(tensor.shape[-1] * self._config.size / self.size)
        scaled = nn.functional.interpolate(tensor.float(), (side, side), mode="bilinear", antialias=True)
        return scaled.round().to(tensor.dtype) if tensor.dtype == torch.uint8 else scaled

    def _placed(self, frames: list[FrameInputs], output: RendererOutput) -> np.ndarray:
        """The mouth windows composited into the whole warped pictures."""
        pictures = np.stack([frame.picture for frame in frames if frame.picture is not None])
        windows = [frame.window for frame in frames if frame.window is not None]
        insides = [cut(picture, window) for picture, window in zip(pictures, windows, strict=True)]
        painted = output.picture
        if painted.shape[-1] != len(insides[0]):
            painted = self._enlarged(output, to_signed(picture_tensor(insides)).to(self._device))
        for inside, pixels in zip(insides, to_pixels(painted), strict=True):
            inside[:] = pixels
        return pictures

    def _enlarged(self, output: RendererOutput, warped: Tensor) -> Tensor:
        """The output composited over the warp at another size (B, 3, side, side), which has the warp's own detail."""
        side, trained = warped.shape[-1], output.picture.shape[-1]

        def enlarged(layer: Tensor) -> Tensor:
            return nn.functional.interpolate(layer.float(), (side, side), mode="bilinear")

        shift = None if output.shift is None else enlarged(output.shift * (side / trained))
        return composite(warped, enlarged(output.colour), enlarged(output.mask), shift).picture


def to_pixels(picture: Tensor) -> np.ndarray:
    """[-1, 1] (B, 3, h, w) -> uint8 (B, h, w, 3)."""
    return ((picture.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

"""Rendering one portrait: landmarks in, frames out, a few at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from moda.imaging.conditioning import FrameInputs, ReferenceConditioner, cut, picture_tensor, stack_inputs
from moda.representation import Portrait
from moda.stages.renderer.compositing import RendererOutput, composite
from moda.stages.renderer.inputs import NetworkConfig, to_inputs, to_signed


class RenderSession:
    """Holds what depends on the portrait alone; `render` may be called any number of times."""

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
        painting: RendererOutput = self._renderer(to_inputs(batch))
        if not self._config.warp:
            return to_pixels(painting.picture)
        return self._placed(frames, painting)

    def _scaled(self, tensor: Tensor) -> Tensor:
        """At a size other than the trained one the network still sees the window as large as in training."""
        if not self._config.warp or self.size == self._config.size or tensor.dim() < 4:
            return tensor
        side = round(tensor.shape[-1] * self._config.size / self.size)
        scaled = nn.functional.interpolate(tensor.float(), (side, side), mode="bilinear", antialias=True)
        return scaled.round().to(tensor.dtype) if tensor.dtype == torch.uint8 else scaled

    def _placed(self, frames: list[FrameInputs], painting: RendererOutput) -> np.ndarray:
        """What was painted and moved, laid over the whole warped pictures."""
        pictures = np.stack([frame.picture for frame in frames if frame.picture is not None])
        windows = [frame.window for frame in frames if frame.window is not None]
        insides = [cut(picture, window) for picture, window in zip(pictures, windows, strict=True)]
        painted = painting.picture
        if painted.shape[-1] != len(insides[0]):
            painted = self._enlarged(painting, to_signed(picture_tensor(insides)).to(self._device))
        for inside, pixels in zip(insides, to_pixels(painted), strict=True):
            inside[:] = pixels
        return pictures

    def _enlarged(self, painting: RendererOutput, warped: Tensor) -> Tensor:
        """The painting over the warp at another size (B, 3, side, side): the warp keeps its own detail."""
        side, trained = warped.shape[-1], painting.picture.shape[-1]

        def enlarged(layer: Tensor) -> Tensor:
            return nn.functional.interpolate(layer.float(), (side, side), mode="bilinear")

        shift = None if painting.shift is None else enlarged(painting.shift * (side / trained))
        return composite(warped, enlarged(painting.colour), enlarged(painting.mask), shift).picture


def to_pixels(picture: Tensor) -> np.ndarray:
    """[-1, 1] (B, 3, h, w) -> uint8 (B, h, w, 3)."""
    return ((picture.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

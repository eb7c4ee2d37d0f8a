"""Rendering of one portrait: landmarks to frames, a batch at a time.

On the CPU OpenCV warps (`conditioning.py`), which is 2 to 3 times as fast there as torch. On a GPU the warp is computed
there (`batch_conditioning.py`), the host prepares the next batches meanwhile, and finished frames are copied while the
next are computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

from moda.device import Download, upload
from moda.imaging.batch_conditioning import BatchConditioner, BatchInputs, PreparedFrames, inside
from moda.imaging.conditioning import FrameInputs, ReferenceConditioner, cut, picture_tensor, stack_inputs
from moda.representation import Portrait
from moda.stages.renderer.compositing import RendererOutput, composite
from moda.stages.renderer.inputs import NetworkConfig, to_inputs, to_signed

PREPARED_AHEAD = 2
"""Batches that the host prepares while the device computes, each in a thread."""

Batch = tuple[np.ndarray, np.ndarray, int]
"""Arguments of `RenderSession.render`."""
Prepared = PreparedFrames | list[FrameInputs]


class RenderSession:
    """Computes once what depends on the portrait alone; `render` and `stream` may be called any number of times."""

    def __init__(
        self,
        renderer: nn.Module,
        config: NetworkConfig,
        portrait: Portrait,
        device: torch.device,
        size: int | None,
        *,
        warp_on_device: bool | None = None,
    ) -> None:
        """size: of the frames; None = as trained. warp_on_device: None = on a GPU."""
        self.size = size or config.size
        self._renderer = renderer
        self._config = config
        self._device = device
        self._works_ahead = device.type == "cuda"
        self._conditioner = ReferenceConditioner(portrait, self.size, warp=config.warp)
        on_device = device.type == "cuda" if warp_on_device is None else warp_on_device
        self._batched = BatchConditioner(self._conditioner, device) if on_device and config.warp else None

    def render(self, landmarks: np.ndarray, torso: np.ndarray, first: int) -> np.ndarray:
        """Frames first, first + 1, ... of landmarks (b, 478, 3) and torso (b, 18, 3), square frame.

        Returns (b, size, size, 3) uint8 RGB.
        """
        return self._started(self._prepared(landmarks, torso, first)).array()

    def stream(self, batches: Iterable[Batch]) -> Iterator[np.ndarray]:
        """`render` of each batch of arguments, in order.

        On a GPU a batch is prepared and started before the one before it is returned; on the CPU nothing is done
        before it is asked for.
        """
        if not self._works_ahead:
            yield from (self.render(*batch) for batch in batches)
            return
        started: Download | None = None
        with ThreadPoolExecutor(PREPARED_AHEAD) as threads:
            for prepared in self._each_prepared(batches, threads):
                following = self._started(prepared)
                if started is not None:
                    yield started.array()
                started = following
        if started is not None:
            yield started.array()

    def _each_prepared(self, batches: Iterable[Batch], threads: ThreadPoolExecutor) -> Iterator[Prepared]:
        waiting: deque[Future[Prepared]] = deque()
        for batch in batches:
            waiting.append(threads.submit(self._prepared, *batch))
            if len(waiting) > PREPARED_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _prepared(self, landmarks: np.ndarray, torso: np.ndarray, first: int) -> Prepared:
        """What the host does for a batch, without tensors of the device."""
        if self._batched is not None:
            return self._batched.prepare(landmarks, torso, first)
        return self._conditioner.frames(landmarks, torso, first)

    @torch.inference_mode()
    def _started(self, prepared: Prepared) -> Download:
        """What the device does; frames (b, size, size, 3) uint8."""
        if isinstance(prepared, PreparedFrames):
            assert self._batched is not None
            made = self._batched.inputs(prepared)
            batch = {name: self._scaled(tensor) for name, tensor in made.inputs.items()}
            return Download(self._placed_on_device(made, self._renderer(to_inputs(batch))))
        batch = {name: self._scaled(tensor) for name, tensor in stack_inputs(prepared).items()}
        output: RendererOutput = self._renderer(to_inputs({k: upload(v, self._device) for k, v in batch.items()}))
        if not self._config.warp:
            return Download(to_uint8(output.picture))
        return Download(torch.from_numpy(self._placed(prepared, output)))

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
        for part, pixels in zip(insides, to_pixels(painted), strict=True):
            part[:] = pixels
        return pictures

    def _placed_on_device(self, made: BatchInputs, output: RendererOutput) -> Tensor:
        """The same, (b, size, size, 3) uint8 on the device."""
        painted, side = output.picture, made.windows[0].side
        if painted.shape[-1] != side:
            painted = self._enlarged(output, to_signed(made.inputs["warped"]))
        pixels = to_uint8(painted).permute(0, 3, 1, 2)
        for picture, window, part in zip(made.pictures, made.windows, pixels, strict=True):
            inside(picture, window).copy_(part)
        return made.pictures.permute(0, 2, 3, 1).contiguous()

    def _enlarged(self, output: RendererOutput, warped: Tensor) -> Tensor:
        """The output composited over the warp at another size (B, 3, side, side), which has the warp's own detail."""
        side, trained = warped.shape[-1], output.picture.shape[-1]

        def enlarged(layer: Tensor) -> Tensor:
            return nn.functional.interpolate(layer.float(), (side, side), mode="bilinear")

        shift = None if output.shift is None else enlarged(output.shift * (side / trained))
        return composite(warped, enlarged(output.colour), enlarged(output.mask), shift).picture


def to_uint8(picture: Tensor) -> Tensor:
    """[-1, 1] (B, 3, h, w) -> uint8 (B, h, w, 3), on the same device."""
    return ((picture.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


def to_pixels(picture: Tensor) -> np.ndarray:
    """[-1, 1] (B, 3, h, w) -> uint8 (B, h, w, 3)."""
    return to_uint8(picture).cpu().numpy()

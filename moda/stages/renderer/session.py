"""Rendering of one portrait: landmarks to frames, a batch at a time.

On the CPU OpenCV warps (`conditioning.py`), which is 2 to 3 times as fast there as torch, and each core renders a batch
of its own. On a GPU the warp is computed there (`batch_conditioning.py`), the host prepares the next batches meanwhile,
and finished frames are copied while the next are computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from moda.device import Download, upload
from moda.imaging.batch_conditioning import BatchConditioner, BatchInputs, PreparedFrames, inside
from moda.imaging.conditioning import FrameInputs, ReferenceConditioner, of_part, stack_inputs
from moda.imaging.warping import PixelBox
from moda.imaging.windows import cut
from moda.nn.inference import OneThreadEach, for_cpu
from moda.representation import Portrait, WindowPart
from moda.stages.renderer.compositing import RendererOutput, composite
from moda.stages.renderer.inputs import NetworkConfig, to_inputs, to_signed

PREPARED_AHEAD = 2
"""Batches that the host prepares while the device computes, each in a thread."""

Batch = tuple[np.ndarray, np.ndarray, int]
"""Arguments of `RenderSession.render`."""
Prepared = PreparedFrames | list[FrameInputs]
Made = TypeVar("Made")


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
        self._networks: dict[WindowPart, nn.Module] = {"mouth": renderer}
        if config.eye_widths:
            self._networks["eyes"] = renderer.get_submodule("eyes")
        if config.warp and device.type == "cpu":
            self._networks = {part: for_cpu(network) for part, network in self._networks.items()}
        self._config = config
        self._device = device
        self._works_ahead = device.type == "cuda"
        self._conditioner = ReferenceConditioner(portrait, self.size, warp=config.warp, eyes=bool(config.eye_widths))
        on_device = device.type == "cuda" if warp_on_device is None else warp_on_device
        self._batched = BatchConditioner(self._conditioner, device) if on_device and config.warp else None

    def render(self, landmarks: np.ndarray, torso: np.ndarray, first: int) -> np.ndarray:
        """Frames first, first + 1, ... of landmarks (b, 478, 3) and torso (b, 18, 3), square frame.

        Returns (b, size, size, 3) uint8 RGB.
        """
        return self._started(self._prepared(landmarks, torso, first)).array()

    def stream(self, batches: Iterable[Batch]) -> Iterator[np.ndarray]:
        """`render` of each batch of arguments, in order.

        A few batches are started before the one before them is returned.
        """
        if not self._works_ahead:
            yield from self._by_threads(batches)
            return
        started: Download | None = None
        with ThreadPoolExecutor(PREPARED_AHEAD) as threads:
            for prepared in _in_order(self._prepared, batches, threads, ahead=PREPARED_AHEAD):
                following = self._started(prepared)
                if started is not None:
                    yield started.array()
                started = following
        if started is not None:
            yield started.array()

    def _by_threads(self, batches: Iterable[Batch]) -> Iterator[np.ndarray]:
        """`stream` on a CPU: each core renders a batch of its own."""
        cores = torch.get_num_threads()
        threads = OneThreadEach(cores)
        try:
            yield from _in_order(self.render, batches, threads, ahead=cores)
        finally:
            threads.shutdown(cancel_futures=True)

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
            return Download(self._placed_on_device(made, self._refined(made.inputs)))
        batch = stack_inputs(prepared)
        if self._config.warp:
            return Download(torch.from_numpy(self._placed(prepared, self._refined(batch))))
        inputs = to_inputs({name: upload(tensor, self._device) for name, tensor in batch.items()})
        return Download(to_uint8(self._renderer(inputs).picture))

    def _placed(self, frames: list[FrameInputs], changes: dict[WindowPart, Tensor]) -> np.ndarray:
        """The whole warped pictures with what the networks changed in their windows, (b, size, size, 3) uint8."""
        pictures = np.stack([frame.picture for frame in frames if frame.picture is not None])
        windows: dict[WindowPart, list[PixelBox]] = {
            "mouth": [frame.window for frame in frames if frame.window is not None],
            "eyes": [frame.eyes.window for frame in frames if frame.eyes and frame.eyes.window],
        }
        for part, changed in changes.items():
            levels = changed.permute(0, 2, 3, 1).cpu().numpy()
            for picture, window, change in zip(pictures, windows[part], levels, strict=True):
                place = cut(picture, window)
                place[:] = (place + change).round().clip(0, 255)
        return pictures

    def _placed_on_device(self, made: BatchInputs, changes: dict[WindowPart, Tensor]) -> Tensor:
        """The same on the device."""
        for part, changed in changes.items():
            for picture, window, change in zip(made.pictures, made.windows[part], changed, strict=True):
                place = inside(picture, window)
                place.copy_((place + change).round().clamp(0, 255))
        return made.pictures.permute(0, 2, 3, 1).contiguous()

    def _refined(self, batch: dict[str, Tensor]) -> dict[WindowPart, Tensor]:
        """By how many grey levels each window of a part changes, (b, 3, h, w): windows overlap, and changes add up."""
        found: dict[WindowPart, Tensor] = {}
        for part, network in self._networks.items():
            given = {name: upload(tensor, self._device) for name, tensor in of_part(batch, part).items()}
            output: RendererOutput = network(to_inputs({name: self._scaled(tensor) for name, tensor in given.items()}))
            warped = to_signed(given["warped"])
            picture = output.picture
            if picture.shape != warped.shape:
                picture = self._enlarged(output, warped, given["region"], self._config.of_part(part).face_change)
            found[part] = 127.5 * (picture.float().clamp(-1, 1) - warped)
        return found

    def _scaled(self, tensor: Tensor) -> Tensor:
        """The input at the size of training, whatever the size of the frames."""
        if not self._config.warp or self.size == self._config.size or tensor.dim() < 4:
            return tensor
        sides = [round(side * self._config.size / self.size) for side in tensor.shape[-2:]]
        scaled = nn.functional.interpolate(tensor.float(), sides, mode="bilinear", antialias=True)
        return scaled.round().to(tensor.dtype) if tensor.dtype == torch.uint8 else scaled

    def _enlarged(self, output: RendererOutput, warped: Tensor, region: Tensor, face_change: float) -> Tensor:
        """The output composited over the warp at another size (B, 3, h, w), which has the warp's own detail.

        region: (B, 1, h, w), where something may change.
        """
        sides, trained = warped.shape[-2:], output.picture.shape[-1]

        def enlarged(layer: Tensor) -> Tensor:
            return nn.functional.interpolate(layer.float(), sides, mode="bilinear") * (region > 0)

        shift = None if output.shift is None else enlarged(output.shift * (warped.shape[-1] / trained))
        colour, mask = enlarged(output.colour), enlarged(output.mask)
        return composite(warped, colour, mask, shift, region=region, face_change=face_change).picture


def _in_order(
    work: Callable[[np.ndarray, np.ndarray, int], Made],
    batches: Iterable[Batch],
    threads: ThreadPoolExecutor,
    *,
    ahead: int,
) -> Iterator[Made]:
    """The work on each batch, done by the threads so many batches ahead, in the order of the batches."""
    waiting: deque[Future[Made]] = deque()
    for batch in batches:
        waiting.append(threads.submit(work, *batch))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def to_uint8(picture: Tensor) -> Tensor:
    """[-1, 1] (B, 3, h, w) -> uint8 (B, h, w, 3), on the same device."""
    return ((picture.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


def to_pixels(picture: Tensor) -> np.ndarray:
    """[-1, 1] (B, 3, h, w) -> uint8 (B, h, w, 3)."""
    return to_uint8(picture).cpu().numpy()

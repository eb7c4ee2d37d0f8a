"""`ReferenceConditioner` for a batch on a device: the warp is computed there, and the rest is drawn on the host.

Lines and the region are drawn by OpenCV: 1 ms a frame, beside the device, where anti-aliased lines of two pixels would
have to be written anew, with their blending in order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from moda.device import upload
from moda.imaging.batch_warping import BatchWarp, PlacedFrames
from moda.imaging.conditioning import EYES, ReferenceConditioner, picture_tensor
from moda.imaging.drawing import draw_condition
from moda.imaging.warping import PixelBox
from moda.imaging.windows import cut, region_of, window_of
from moda.representation import WindowPart


class PreparedWindows(NamedTuple):
    """Of the windows of one part of b frames, on the host: condition (b, 3, h, w) uint8, region (b, 1, h, w)."""

    windows: list[PixelBox]
    condition: np.ndarray
    region: np.ndarray


class PreparedFrames(NamedTuple):
    """Of b frames, on the host."""

    first: int
    parts: dict[WindowPart, PreparedWindows]
    placed: PlacedFrames


class BatchInputs(NamedTuple):
    """On the device. inputs: as `stack_inputs`. pictures: (b, 3, size, size) uint8, into which the windows go back."""

    inputs: dict[str, Tensor]
    pictures: Tensor
    windows: dict[WindowPart, list[PixelBox]]


class BatchConditioner:
    """Makes the renderer's inputs for batches of the portrait of a `ReferenceConditioner` with a warp."""

    def __init__(self, conditioner: ReferenceConditioner, device: torch.device) -> None:
        assert conditioner.warp is not None
        self._size, self._device = conditioner.size, device
        self._host = conditioner.warp
        self._warp = BatchWarp(conditioner.warp, device)
        self._references = {
            part: picture_tensor([picture]).to(device) for part, picture in conditioner.references.items()
        }

    def prepare(self, landmarks: np.ndarray, torso: np.ndarray, first: int) -> PreparedFrames:
        """The host's part, for landmarks (b, 478, 3) and torso (b, 18, 3), square frame. Uses no tensors: a thread of
        its own may do it.
        """
        size = self._size
        drawn = [draw_condition(points, shoulders, size) for points, shoulders in zip(landmarks, torso, strict=True)]
        parts: dict[WindowPart, PreparedWindows] = {}
        for part in self._references:
            windows = [window_of(part, points, size) for points in landmarks]
            condition = [cut(whole, window).transpose(2, 0, 1) for whole, window in zip(drawn, windows, strict=True)]
            region = [region_of(part, points, size, window) for points, window in zip(landmarks, windows, strict=True)]
            parts[part] = PreparedWindows(windows, np.stack(condition), np.stack(region)[:, None])
        return PreparedFrames(first, parts, self._warp.place(self._host.targets(landmarks, torso)))

    def inputs(self, prepared: PreparedFrames) -> BatchInputs:
        """The device's part."""
        pictures, validity = self._warp.warp(prepared.placed)
        count = len(pictures)
        inputs: dict[str, Tensor] = {}
        for part, made in prepared.parts.items():
            found = {
                "condition": upload(made.condition, self._device),
                "reference": self._references[part].expand(count, -1, -1, -1),
                "frame": torch.arange(prepared.first, prepared.first + count, device=self._device),
                "warped": windows_of(pictures, made.windows),
                "validity": windows_of(validity, made.windows),
                "region": upload(made.region, self._device),
            }
            inputs |= {name if part == "mouth" else EYES + name: tensor for name, tensor in found.items()}
        return BatchInputs(inputs, pictures, {part: made.windows for part, made in prepared.parts.items()})


def windows_of(pictures: Tensor, windows: list[PixelBox]) -> Tensor:
    """A window of each picture (b, C, size, size): (b, C, height, width)."""
    return torch.stack([inside(picture, window) for picture, window in zip(pictures, windows, strict=True)])


def inside(picture: Tensor, window: PixelBox) -> Tensor:
    """The part of a picture (C, H, W) inside a window: a view."""
    left, top, width, height = window
    return picture[:, top : top + height, left : left + width]

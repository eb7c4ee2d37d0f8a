"""`ReferenceConditioner` for a batch on a device: the warp is computed there, and the rest is drawn on the host.

Lines and the region are drawn by OpenCV: 1 ms a frame, beside the device, where anti-aliased lines of two pixels would
have to be written anew, with their blending in order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from moda.device import upload
from moda.imaging.batch_warping import BatchWarp, PlacedFrames
from moda.imaging.conditioning import (
    REGION_FEATHER,
    ReferenceConditioner,
    around_the_mouth,
    cut,
    grown_lips,
    mouth_window,
    picture_tensor,
)
from moda.imaging.drawing import draw_condition, polygon_mask
from moda.imaging.warping import PixelBox
from moda.representation import FRAME

BLUR_REACH_SIGMAS = 5
"""Where OpenCV's Gaussian kernel has ended."""


class PreparedFrames(NamedTuple):
    """Of b frames, on the host: condition (b, 3, side, side) uint8 and region (b, 1, side, side) of the windows."""

    first: int
    windows: list[PixelBox]
    condition: np.ndarray
    region: np.ndarray
    placed: PlacedFrames


class BatchInputs(NamedTuple):
    """On the device. inputs: as `stack_inputs`. pictures: (b, 3, size, size) uint8, into which the windows go back."""

    inputs: dict[str, Tensor]
    pictures: Tensor
    windows: list[PixelBox]


class BatchConditioner:
    """Makes the renderer's inputs for batches of the portrait of a `ReferenceConditioner` with a warp."""

    def __init__(self, conditioner: ReferenceConditioner, device: torch.device) -> None:
        assert conditioner.warp is not None
        self._size, self._device = conditioner.size, device
        self._host = conditioner.warp
        self._warp = BatchWarp(conditioner.warp, device)
        self._reference = picture_tensor([conditioner.reference]).to(device)

    def prepare(self, landmarks: np.ndarray, torso: np.ndarray, first: int) -> PreparedFrames:
        """The host's part, for landmarks (b, 478, 3) and torso (b, 18, 3), square frame. Uses no tensors: a thread of
        its own may do it.
        """
        windows = [mouth_window(points, self._size) for points in landmarks]
        condition = [
            cut(draw_condition(points, shoulders, self._size), window).transpose(2, 0, 1)
            for points, shoulders, window in zip(landmarks, torso, windows, strict=True)
        ]
        region = [_region(points, self._size, window) for points, window in zip(landmarks, windows, strict=True)]
        placed = self._warp.place(self._host.targets(landmarks, torso))
        return PreparedFrames(first, windows, np.stack(condition), np.stack(region)[:, None], placed)

    def inputs(self, prepared: PreparedFrames) -> BatchInputs:
        """The device's part."""
        pictures, validity = self._warp.warp(prepared.placed)
        count = len(prepared.windows)
        inputs = {
            "condition": upload(prepared.condition, self._device),
            "reference": self._reference.expand(count, -1, -1, -1),
            "frame": torch.arange(prepared.first, prepared.first + count, device=self._device),
            "warped": windows_of(pictures, prepared.windows),
            "validity": windows_of(validity, prepared.windows),
            "region": upload(prepared.region, self._device),
        }
        return BatchInputs(inputs, pictures, prepared.windows)


def windows_of(pictures: Tensor, windows: list[PixelBox]) -> Tensor:
    """A window of each picture (b, C, size, size): (b, C, side, side)."""
    return torch.stack([inside(picture, window) for picture, window in zip(pictures, windows, strict=True)])


def inside(picture: Tensor, window: PixelBox) -> Tensor:
    """The part of a picture (C, H, W) inside a window: a view."""
    left, top, side = window
    return picture[:, top : top + side, left : left + side]


def _region(landmarks: np.ndarray, size: int, window: PixelBox) -> np.ndarray:
    """`paint_region`, drawn and blurred in the window's surroundings alone."""
    reach = math.ceil(BLUR_REACH_SIGMAS * REGION_FEATHER * size)
    side = window.side + 2 * reach
    corner = np.array([window.left - reach, window.top - reach])
    mask = polygon_mask((grown_lips(landmarks) * (size / FRAME) - corner) * (FRAME / side), side)
    mouth = cv2.GaussianBlur(mask, (0, 0), REGION_FEATHER * size)[reach:-reach, reach:-reach]
    return np.maximum(mouth, around_the_mouth(window.side))

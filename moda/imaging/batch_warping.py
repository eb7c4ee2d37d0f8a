"""`ReferenceWarp` for a batch of frames on a device.

The host places the triangles and the field's nodes (NumPy, so it may run beside the device); the device rasterises,
samples and composites. Pictures are those of `ReferenceWarp` but for roundings of one grey level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from moda.device import upload
from moda.imaging.rasterising import last_drawn
from moda.imaging.surroundings import Target
from moda.imaging.warping import LIP_STEP_SHARE, MOUTH_INSIDE_RGB, STEP_SHARE, ReferenceWarp

STEPS_A_PIXEL = 32 if int(cv2.__version__.split(".")[0]) < 5 else None
"""OpenCV 4 samples a picture at this many places a pixel along each side, OpenCV 5 anywhere."""


class PlacedFrames(NamedTuple):
    """Of b frames, all on the host. nodes: (b, nodes, nodes, 3). polygons (N, 3, 2) and frame (N,): triangles in the
    order of drawing. table: (N + 1, 12) float32, for each and first for no triangle: its affine map back, least and
    greatest x and y of the source, validity, and 1 inside the mouth.
    """

    nodes: np.ndarray
    polygons: np.ndarray
    frame: np.ndarray
    table: np.ndarray


class BatchWarp:
    """Warps the portrait of a `ReferenceWarp` to batches of target frames."""

    def __init__(self, warp: ReferenceWarp, device: torch.device) -> None:
        self._warp, self._device, self._size = warp, device, warp.size
        self._picture = torch.from_numpy(warp.picture).to(device).permute(2, 0, 1)[None].float()
        self._background = torch.from_numpy(warp.background).to(device).permute(2, 0, 1)[None]
        self._mouth_colour = torch.from_numpy(MOUTH_INSIDE_RGB).to(device).view(1, 3, 1, 1)
        self._grid = torch.arange(warp.size, dtype=torch.float32, device=device)

    def place(self, targets: Sequence[Target]) -> PlacedFrames:
        """The host's part, for `ReferenceWarp.targets`."""
        warp = self._warp
        nodes = np.stack([warp.surroundings.nodes(target, self._size) for target in targets])
        polygons, tables = [], [np.zeros((1, 12), np.float32)]
        for target in targets:
            found = warp.triangles(target)
            order = found.order
            polygons.append(found.polygons[order])
            sides = [found.maps[order].reshape(-1, 6), found.bounds[order].reshape(-1, 4)]
            tables.append(np.column_stack([*sides, found.validity[order], warp.mouth[order]]).astype(np.float32))
        frame = np.repeat(np.arange(len(targets)), [len(each) for each in polygons])
        return PlacedFrames(nodes, np.concatenate(polygons), frame, np.concatenate(tables))

    def warp(self, placed: PlacedFrames) -> tuple[Tensor, Tensor]:
        """Pictures (b, 3, size, size) uint8 and validity (b, 1, size, size) float32 in 0..1, on the device."""
        size, frames = self._size, len(placed.nodes)
        index = last_drawn(placed.polygons, placed.frame, frames, size, self._device)
        nodes = upload(placed.nodes, self._device).permute(0, 3, 1, 2)
        field = nn.functional.interpolate(nodes, (size, size), mode="bilinear")
        across, down = self._grid.view(1, 1, size), self._grid.view(1, size, 1)
        columns = upload(np.ascontiguousarray(placed.table.T), self._device)
        found = index.long()
        a, b, c, d, e, f, left, top, right, bottom, validity, mouth = (column[found] for column in columns)
        face = index > 0
        x = torch.where(face, (a * across + b * down + c).clamp(left, right), across + field[:, 0])
        y = torch.where(face, (d * across + e * down + f).clamp(top, bottom), down + field[:, 1])
        known = torch.where(face, validity, field[:, 2])
        warped = self._sampled(x, y)
        colour, alpha = warped[:, :3], warped[:, 3:] / 255.0
        colour = colour + (mouth * (1 - known))[:, None] * (self._mouth_colour - colour)
        picture = colour * alpha + self._background * (1 - alpha)
        picture = torch.where(_torn(x, y, mouth > 0, size)[:, None], _smoothed(picture), picture)
        return picture.round().to(torch.uint8), known[:, None]

    def _sampled(self, x: Tensor, y: Tensor) -> Tensor:
        """The reference's four channels at pixels (b, h, w) of the square: (b, 4, h, w), whole numbers 0..255."""
        side = self._picture.shape[-1]
        places = torch.stack([x, y], dim=-1) + self._warp.pad
        if STEPS_A_PIXEL:
            places = (places * STEPS_A_PIXEL).round() / STEPS_A_PIXEL
        pictures = self._picture.expand(len(x), -1, -1, -1)
        places = (2 * places + 1) / side - 1
        sampled = nn.functional.grid_sample(
            pictures, places, mode="bicubic", padding_mode="border", align_corners=False
        )
        return sampled.round().clamp(0, 255)


def _torn(x: Tensor, y: Tensor, mouth: Tensor, size: int) -> Tensor:
    """As `ReferenceWarp` has it, of a batch: (b, h, w) bool."""
    torn = torch.zeros_like(mouth)
    for dim, one, other in ((2, torn[:, :, 1:], torn[:, :, :-1]), (1, torn[:, 1:], torn[:, :-1])):
        step = torch.maximum(x.diff(dim=dim).abs(), y.diff(dim=dim).abs())
        found = step > torch.where(mouth.diff(dim=dim), LIP_STEP_SHARE * size, STEP_SHARE * size)
        one |= found
        other |= found
    return torn


def _smoothed(pictures: Tensor) -> Tensor:
    """Pictures (b, 3, h, w) under a kernel of 1, 2, 1 along each side."""
    padded = nn.functional.pad(pictures, (1, 1, 1, 1), mode="reflect")
    across = (padded[..., :-2] + padded[..., 2:]) / 4 + padded[..., 1:-1] / 2
    return (across[..., :-2, :] + across[..., 2:, :]) / 4 + across[..., 1:-1, :] / 2

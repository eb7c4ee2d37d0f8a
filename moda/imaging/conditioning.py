"""What the renderer sees of a frame: one function for training and inference.

Without a warp (the paper): the drawn landmarks and the reference picture, whole.
With a warp (default): the reference warped to the target, and a window around the mouth of everything, and where the
renderer refines the eyes too a second one around them (`windows.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from moda.imaging.crop import Box, crop_square
from moda.imaging.drawing import draw_condition
from moda.imaging.surroundings import Target
from moda.imaging.warping import PixelBox, ReferenceWarp
from moda.imaging.windows import cut, region_of, window_of
from moda.representation import HeadPose, Portrait, WindowPart


@dataclass(frozen=True)
class FrameInputs:
    """Inputs of one frame, uint8 RGB pictures (h, w, 3) and float32 maps (h, w) in 0..1.

    h, w = the picture's side without a warp, the mouth window's with one. frame: its index in time.
    picture: the whole warped picture, into which the window goes back. eyes: the same of the eyes' window.
    """

    condition: np.ndarray
    reference: np.ndarray
    frame: int
    warped: np.ndarray | None = None
    validity: np.ndarray | None = None
    region: np.ndarray | None = None
    window: PixelBox | None = None
    picture: np.ndarray | None = None
    eyes: FrameInputs | None = None


class ReferenceConditioner:
    """Makes the renderer's inputs for one portrait at one size."""

    def __init__(
        self, portrait: Portrait, size: int, *, warp: bool, eyes: bool = False, fit: HeadPose | None = None
    ) -> None:
        """eyes: those of their window too. fit: `fit_head_pose` of the portrait's landmarks, where it is at hand."""
        self.size = size
        self.warp = ReferenceWarp(portrait, size, fit) if warp else None
        self.parts: tuple[WindowPart, ...] = ("mouth", "eyes") if eyes else ("mouth",)
        picture = crop_square(portrait.image, Box(0, 0, len(portrait.image)), size)
        self.references = {
            part: cut(picture, window_of(part, portrait.landmarks, size)) if warp else picture for part in self.parts
        }
        """The reference inside the window of each part; without a warp the whole."""

    def frames(
        self,
        landmarks: np.ndarray,
        torso: np.ndarray,
        first: int = 0,
        *,
        whole: bool = True,
        fit: HeadPose | None = None,
    ) -> list[FrameInputs]:
        """Inputs for landmarks (b, 478, 3) and torso (b, 18, 3) of frames first, first + 1, ...

        whole: with a warp, make the whole warped picture too and not only what is needed of it. fit: `fit_head_pose`
        of the landmarks, where it is at hand.
        """
        if self.warp is None:
            return [
                FrameInputs(draw_condition(points, shoulders, self.size), self.references["mouth"], first + i)
                for i, (points, shoulders) in enumerate(zip(landmarks, torso, strict=True))
            ]
        targets = self.warp.targets(landmarks, torso, fit)
        return [
            self._windowed(target, shoulders, first + i, whole)
            for i, (target, shoulders) in enumerate(zip(targets, torso, strict=True))
        ]

    def _windowed(self, target: Target, torso: np.ndarray, frame: int, whole: bool) -> FrameInputs:
        assert self.warp is not None
        landmarks = target.landmarks
        condition = draw_condition(landmarks, torso, self.size)
        picture = validity = None
        if whole or len(self.parts) > 1:
            picture, validity = self.warp.warp(target)
        found = {}
        for part in self.parts:
            window = window_of(part, landmarks, self.size)
            if picture is None or validity is None:
                warped, known = self.warp.warp(target, window)
            else:
                warped, known = cut(picture, window), cut(validity, window)
            region = region_of(part, landmarks, self.size, window)
            found[part] = FrameInputs(
                cut(condition, window), self.references[part], frame, warped, known, region, window
            )
        return replace(found["mouth"], picture=picture, eyes=found.get("eyes"))


def picture_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """Pictures (h, w, 3) uint8 -> (K, 3, h, w) uint8."""
    height, width, channels = pictures[0].shape
    planes = np.empty((len(pictures), channels, height, width), np.uint8)
    for picture, out in zip(pictures, planes, strict=True):
        cv2.split(picture, list(out))
    return torch.from_numpy(planes)


EYES = "eyes."
"""Before the names of what is stacked of the eyes' windows."""


def stack_inputs(frames: Sequence[FrameInputs]) -> dict[str, Tensor]:
    """Inputs of several frames as tensors: uint8 pictures (K, 3, h, w), float maps (K, 1, h, w), frame (K,).

    Those of the eyes' windows, if there are any, have the same names after `EYES`.
    """
    item = {
        "condition": picture_tensor([f.condition for f in frames]),
        "reference": picture_tensor([f.reference for f in frames]),
        "frame": torch.tensor([f.frame for f in frames]),
    }
    if all(f.warped is not None for f in frames):
        item["warped"] = picture_tensor([f.warped for f in frames if f.warped is not None])
        item["validity"] = torch.from_numpy(np.stack([f.validity for f in frames if f.validity is not None]))[:, None]
        item["region"] = torch.from_numpy(np.stack([f.region for f in frames if f.region is not None]))[:, None]
    eyes = [f.eyes for f in frames if f.eyes is not None]
    if eyes:
        item |= {EYES + name: tensor for name, tensor in stack_inputs(eyes).items()}
    return item


def of_part(batch: Mapping[str, Tensor], part: WindowPart) -> dict[str, Tensor]:
    """What a batch holds of the windows of one part, under the names of the mouth's; empty if nothing."""
    if part == "eyes":
        return {name.removeprefix(EYES): tensor for name, tensor in batch.items() if name.startswith(EYES)}
    return {name: tensor for name, tensor in batch.items() if not name.startswith(EYES)}

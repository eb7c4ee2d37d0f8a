"""What the renderer sees of a frame: one function for training and inference.

Without a warp (the paper): the drawn landmarks and the reference picture, whole.
With a warp (default): the reference warped to the target, and a window around the mouth of
everything. The network works inside the window's *region* and nowhere else, so what the warp has right stays as
it is: in full on the lips and what is between them, by half on the face around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from moda.geometry import mouth_centre
from moda.imaging.crop import Box, crop_square
from moda.imaging.drawing import draw_condition, polygon_mask
from moda.imaging.surroundings import Target
from moda.imaging.warping import PixelBox, ReferenceWarp
from moda.landmarks import OUTER_LIPS
from moda.representation import FRAME, WINDOW_SHARE, HeadPose, Portrait

REGION_GROWTH = 1.3
"""The region's outline: the outer lips, scaled about their centre."""
REGION_FEATHER = 0.012
"""Sigma of the region's soft edge, as a share of the picture's side."""
FACE_STRENGTH = 0.5
"""The region's value on the face around the mouth: the share of the warp that paint may replace there."""
FACE_RADIUS, FACE_EDGE = 0.47, 0.12
"""How far around the window's centre that goes, and the width of its soft edge, as shares of the window's side."""


@dataclass(frozen=True)
class FrameInputs:
    """Inputs of one frame, uint8 RGB pictures (h, w, 3) and float32 maps (h, w) in 0..1.

    h = w = the picture's side without a warp, the window's with one. frame: its index in time.
    picture: the whole warped picture, into which the window goes back (inference only).
    """

    condition: np.ndarray
    reference: np.ndarray
    frame: int
    warped: np.ndarray | None = None
    validity: np.ndarray | None = None
    region: np.ndarray | None = None
    window: PixelBox | None = None
    picture: np.ndarray | None = None


def mouth_window(landmarks: np.ndarray, size: int) -> PixelBox:
    """Window around the mouth of landmarks (478, 3), inside a size x size picture."""
    side = round(size * WINDOW_SHARE)
    centre = mouth_centre(landmarks)[:2] * (size / FRAME)
    left, top = (int(np.clip(round(value - side / 2), 0, size - side)) for value in centre)
    return PixelBox(left, top, side)


def mouth_region(landmarks: np.ndarray, size: int) -> np.ndarray:
    """The mouth: the grown outer lips with a soft edge, (size, size) float32."""
    return cv2.GaussianBlur(polygon_mask(grown_lips(landmarks), size), (0, 0), REGION_FEATHER * size)


def grown_lips(landmarks: np.ndarray) -> np.ndarray:
    """The region's outline for landmarks (478, 3): (P, 2), pixels of the square frame."""
    lips = landmarks[list(OUTER_LIPS), :2]
    centre = lips.mean(axis=0)
    grown: np.ndarray = centre + REGION_GROWTH * (lips - centre)
    return grown


def paint_region(landmarks: np.ndarray, size: int, window: PixelBox) -> np.ndarray:
    """How far the network may change each pixel of a window, (side, side) float32: 1 on the mouth, `FACE_STRENGTH`
    around it, 0 at the window's border.
    """
    return np.maximum(cut(mouth_region(landmarks, size), window), around_the_mouth(window.side))


@lru_cache(maxsize=4)
def around_the_mouth(side: int) -> np.ndarray:
    """A disc of `FACE_STRENGTH` with a soft edge, (side, side) float32."""
    across = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    inside = np.clip((FACE_RADIUS - np.hypot(across[:, None], across[None, :])) / FACE_EDGE, 0, 1)
    disc: np.ndarray = FACE_STRENGTH * inside * inside * (3 - 2 * inside)
    disc.setflags(write=False)
    return disc


def cut(picture: np.ndarray, window: PixelBox) -> np.ndarray:
    """The part of a picture (H, W, ...) inside a window: a view, so writing to it writes to the picture."""
    left, top, side = window
    return picture[top : top + side, left : left + side]


class ReferenceConditioner:
    """Makes the renderer's inputs for one portrait at one size."""

    def __init__(self, portrait: Portrait, size: int, *, warp: bool, fit: HeadPose | None = None) -> None:
        """fit: `fit_head_pose` of the portrait's landmarks, where it is at hand."""
        self.size = size
        self.warp = ReferenceWarp(portrait, size, fit) if warp else None
        picture = crop_square(portrait.image, Box(0, 0, len(portrait.image)), size)
        self.reference = cut(picture, mouth_window(portrait.landmarks, size)) if warp else picture

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

        whole: with a warp, make the whole warped picture too and not only the window. fit: `fit_head_pose` of the
        landmarks, where it is at hand.
        """
        if self.warp is None:
            return [
                FrameInputs(draw_condition(points, shoulders, self.size), self.reference, first + i)
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
        window = mouth_window(landmarks, self.size)
        picture = None
        if whole:
            picture, validity = self.warp.warp(target)
            warped, validity = cut(picture, window), cut(validity, window)
        else:
            warped, validity = self.warp.warp(target, window)
        return FrameInputs(
            condition=cut(draw_condition(landmarks, torso, self.size), window),
            reference=self.reference,
            frame=frame,
            warped=warped,
            validity=validity,
            region=paint_region(landmarks, self.size, window),
            window=window,
            picture=picture,
        )


def picture_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """Pictures (h, w, 3) uint8 -> (K, 3, h, w) uint8."""
    height, width, channels = pictures[0].shape
    planes = np.empty((len(pictures), channels, height, width), np.uint8)
    for picture, out in zip(pictures, planes, strict=True):
        cv2.split(picture, list(out))
    return torch.from_numpy(planes)


def stack_inputs(frames: Sequence[FrameInputs]) -> dict[str, Tensor]:
    """Inputs of several frames as tensors: uint8 pictures (K, 3, h, w), float maps (K, 1, h, w), frame (K,)."""
    item = {
        "condition": picture_tensor([f.condition for f in frames]),
        "reference": picture_tensor([f.reference for f in frames]),
        "frame": torch.tensor([f.frame for f in frames]),
    }
    if all(f.warped is not None for f in frames):
        item["warped"] = picture_tensor([f.warped for f in frames if f.warped is not None])
        item["validity"] = torch.from_numpy(np.stack([f.validity for f in frames if f.validity is not None]))[:, None]
        item["region"] = torch.from_numpy(np.stack([f.region for f in frames if f.region is not None]))[:, None]
    return item

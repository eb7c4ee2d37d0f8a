"""Renderer training pairs of single photographs: the truth is the photograph, the reference the same, posed anew.

The renderer's own warp poses it: the mouth closed or in a shape of a person of the training clips, the lids moved, the
head turned a little. Photographs show many more people, with sharper teeth and irises, than footage does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from moda.data.clip import Clip
from moda.data.frames import MAX_TIME_SHIFT_FRAMES, FramePairs
from moda.data.photos import PhotoStore
from moda.data.shading import shade, with_targets
from moda.geometry import apply_head, fit_head_pose, to_image
from moda.imaging.conditioning import ReferenceConditioner, stack_inputs
from moda.imaging.crop import Box, crop_square
from moda.imaging.warping import ReferenceWarp
from moda.landmarks import LIDS, LIPS, SHOULDER_POINTS, UPPER_LID_SHARE, other_side
from moda.representation import FRAME, Portrait

SHAPES_A_CLIP = 12
"""Lip shapes taken of each training clip, evenly over its time."""
CLOSED_MOUTH_SHARE, LIP_AMPLITUDES = 0.5, (0.2, 1.0)
"""Share of references with a closed mouth; the others have a lip shape, scaled by a number drawn from this range."""
LID_SHARE, LID_CLOSING = 0.5, (-0.3, 0.95)
"""Share of references whose lids are moved, and by which share of the eye's opening: below 0 opens it more."""
TURN_DEGREES, MOVE_PX, SCALE_STD = (1.8, 3.0, 1.5), 3.0, 0.01
"""Standard deviations of the head's turn (pitch, yaw, roll), place and scale against the photograph."""


def lip_shapes(clips: Sequence[Clip]) -> np.ndarray:
    """Offsets of the lips from rest in training clips, (N, len(LIPS), 3) float32, canonical pixels."""
    found = []
    for clip in clips:
        frames = np.linspace(0, clip.frames - 1, SHAPES_A_CLIP).astype(int)
        found.append(clip.canonical_at(frames)[:, list(LIPS)] - clip.subject[list(LIPS)])
    return np.concatenate(found).astype(np.float32)


def with_lids(mesh: np.ndarray, closing: float) -> np.ndarray:
    """A mesh (478, 3) with its lids brought together by a share of their distance; below 0 apart."""
    moved = np.array(mesh)
    for upper, lower in (map(list, lids) for lids in LIDS):
        gap = closing * (mesh[lower] - mesh[upper])
        moved[upper] += UPPER_LID_SHARE * gap
        moved[lower] -= (1 - UPPER_LID_SHARE) * gap
    return moved


def mirrored(portrait: Portrait) -> Portrait:
    """The portrait as a mirror shows it, the sides of its landmarks exchanged."""
    sides = list(other_side())
    landmarks = portrait.landmarks[sides] * [-1, 1, 1] + [FRAME, 0, 0]
    torso = portrait.torso[np.r_[SHOULDER_POINTS : 2 * SHOULDER_POINTS, :SHOULDER_POINTS]] * [-1, 1, 1] + [FRAME, 0, 0]
    return Portrait(
        image=np.ascontiguousarray(portrait.image[:, ::-1]),
        landmarks=landmarks.astype(np.float32),
        pose=fit_head_pose(landmarks[None])[0],
        subject=(portrait.subject[sides] * [-1, 1, 1]).astype(np.float32),
        torso=torso.astype(np.float32),
        person=np.ascontiguousarray(portrait.person[:, ::-1]),
    )


class PhotoPairs(Dataset[dict[str, Tensor]]):
    """Items as `FramePairs` makes them, of one target each."""

    def __init__(self, photos: PhotoStore, shapes: np.ndarray, *, size: int, eyes: bool, colour: float) -> None:
        """shapes: of `lip_shapes`. size: side of the frames. eyes, colour: as in `FramePairs`."""
        self.photos, self.shapes, self.size, self.eyes, self.colour = photos, shapes, size, eyes, colour

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng(np.random.randint(2**31))
        photo = self.photos.photo(index)
        if rng.random() < 0.5:
            photo = mirrored(photo)
        conditioner = ReferenceConditioner(self._reference(photo, rng), self.size, warp=True, eyes=self.eyes)
        inputs = conditioner.frames(photo.landmarks[None], photo.torso[None], whole=False)
        truth = crop_square(photo.image, Box(0, 0, len(photo.image)), self.size)
        item = with_targets(stack_inputs(inputs), inputs, [truth])
        time = torch.tensor([int(rng.integers(MAX_TIME_SHIFT_FRAMES))])
        item |= {name: time for name in item if name.endswith("frame")}
        shade(item, rng, self.colour)
        return item

    def _reference(self, photo: Portrait, rng: np.random.Generator) -> Portrait:
        """The photograph with another expression and turn."""
        mesh = np.asarray(photo.subject, np.float64).copy()
        if rng.random() >= CLOSED_MOUTH_SHARE:
            mesh[list(LIPS)] += rng.uniform(*LIP_AMPLITUDES) * self.shapes[rng.integers(len(self.shapes))]
        if self.eyes and rng.random() < LID_SHARE:
            mesh = with_lids(mesh, rng.uniform(*LID_CLOSING))
        head = np.zeros((1, 7))
        head[0, :3] = rng.normal(0, TURN_DEGREES)
        head[0, 3:5] = rng.normal(0, MOVE_PX, 2)
        head[0, 6] = rng.normal(0, SCALE_STD)
        pose = apply_head(photo.pose, head)
        landmarks = to_image(mesh[None], pose).astype(np.float32)
        warp = ReferenceWarp(photo, self.size)
        (target,) = warp.targets(landmarks, photo.torso[None])
        image, _ = warp.warp(target)
        everywhere = np.ones((self.size, self.size), np.float32)
        return Portrait(image, landmarks[0], pose[0], photo.subject, photo.torso, everywhere)


class FramesAndPhotos(Dataset[dict[str, Tensor]]):
    """Each item of `FramePairs`, and with it some of `PhotoPairs`, drawn at random."""

    def __init__(self, frames: FramePairs, photos: PhotoPairs, pairs: int) -> None:
        """pairs: photographs an item."""
        self.frames, self.photos, self.pairs = frames, photos, pairs

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        drawn = np.random.randint(len(self.photos), size=self.pairs)
        items = [self.frames[index], *(self.photos[int(photo)] for photo in drawn)]
        return {name: torch.cat([item[name] for item in items]) for name in items[0]}

    def statistics(self) -> dict[str, float]:
        """Those of the frames, and the number of photographs."""
        return {**self.frames.statistics(), "photographs": float(len(self.photos))}

    def fingerprint(self) -> str:
        """Equal for equal clips and photographs."""
        both = f"{self.frames.fingerprint()} {self.photos.photos.fingerprint()}"
        return hashlib.sha256(both.encode()).hexdigest()[:32]

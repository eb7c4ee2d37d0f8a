"""Tracked faces: of one video (`VideoTrack`), in the square frame (`FaceTrack`), and a pair (`PairedTracks`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from moda.geometry import fit_head_pose, to_canonical
from moda.landmarks import lip_opening
from moda.representation import HeadPose


@dataclass(frozen=True)
class VideoTrack:
    """Landmarks that the face tracker found in one video, read at 25 fps.

    landmarks: (T, 478, 3) float32, pixels of that video; rows without a face are NaN.
    width, height: pixels of the picture.
    """

    landmarks: np.ndarray
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def tracked(self) -> np.ndarray:
        """(T,) bool: a face was found."""
        return ~np.isnan(self.landmarks).any(axis=(1, 2))


@dataclass(frozen=True)
class FaceTrack:
    """A face over time in the square frame.

    landmarks: (T, 478, 3) float64, pixels of the square frame; rows without a face are NaN.
    """

    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.landmarks)

    @cached_property
    def tracked(self) -> np.ndarray:
        """(T,) bool: a face was found."""
        return ~np.isnan(self.landmarks).any(axis=(1, 2))

    @cached_property
    def pose(self) -> HeadPose:
        """Head pose of the tracked frames only: HeadPose (n), n = tracked.sum()."""
        return fit_head_pose(self.landmarks[self.tracked])

    @cached_property
    def canonical(self) -> np.ndarray:
        """(T, 478, 3) landmarks after rigid alignment to the canonical face, pixels; NaN rows stay NaN."""
        canonical = np.full_like(self.landmarks, np.nan)
        if self.tracked.any():
            canonical[self.tracked] = to_canonical(self.landmarks[self.tracked], self.pose)
        return canonical

    @cached_property
    def opening(self) -> np.ndarray:
        """(T,) lip opening after rigid alignment, canonical pixels; NaN without a face."""
        return lip_opening(self.canonical)

    def cut(self, start: int, stop: int) -> FaceTrack:
        """Frames start..stop-1 as a track of their own."""
        return replace(self, landmarks=self.landmarks[start:stop])


@dataclass(frozen=True)
class PairedTracks:
    """A generated face beside the true one, frame by frame."""

    true: FaceTrack
    generated: FaceTrack

    def __post_init__(self) -> None:
        if len(self.true) != len(self.generated):
            raise ValueError(f"tracks of {len(self.true)} and {len(self.generated)} frames are no pair: cut them first")

    def __len__(self) -> int:
        return len(self.true)

    @cached_property
    def valid(self) -> np.ndarray:
        """(T,) bool: the face was found in both videos."""
        return self.true.tracked & self.generated.tracked

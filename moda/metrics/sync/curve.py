"""Distances of audio and picture embeddings by offset, and Sync-C, Sync-D and offset from them (LSE-C, LSE-D).

The protocol is that of Chung and Zisserman 2016. An offset counts the frames (25 a second) by which the picture comes
late: at offset k, the embedding of the picture at frame t is compared with that of the audio at frame t - k.

Dimension letters: F frames that have embeddings, E embedding, K = 2 MAX_OFFSET_FRAMES + 1 offsets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moda.nn.landmark_sync import lag_sums

MAX_OFFSET_FRAMES = 15
"""Offsets searched: -MAX_OFFSET_FRAMES .. MAX_OFFSET_FRAMES frames."""
IN_STEP_FRAMES = 1
"""Frames either side of 0 that still count as in step."""
DISTANCE_EPSILON = 1e-6
"""Added to every difference, as torch's pairwise distance does, and so the published protocol."""


@dataclass(frozen=True)
class SyncScore:
    """Scores of a curve of distances.

    confidence: its median minus its minimum (LSE-C, "Sync-C"). distance: its minimum (LSE-D, "Sync-D").
    offset: where that minimum lies, frames. in_step: its median minus the least distance within a frame of
    offset 0: a confidence that does not search the offset. curve: (31,) distances at -15 .. 15.
    """

    confidence: float
    distance: float
    offset: int
    in_step: float
    curve: np.ndarray


def read_curve(curve: np.ndarray) -> SyncScore:
    """Distances (31,) at offsets -15 .. 15 -> their score; the median is that of 31 values, so one of them."""
    if curve.shape != (2 * MAX_OFFSET_FRAMES + 1,) or not np.isfinite(curve).all():
        raise ValueError(f"a curve of shape {curve.shape}, wanted ({2 * MAX_OFFSET_FRAMES + 1},) finite distances")
    lowest = int(np.argmin(curve))
    middle = float(np.median(curve))
    near = float(curve[MAX_OFFSET_FRAMES - IN_STEP_FRAMES : MAX_OFFSET_FRAMES + IN_STEP_FRAMES + 1].min())
    return SyncScore(
        middle - float(curve[lowest]), float(curve[lowest]), lowest - MAX_OFFSET_FRAMES, middle - near, curve
    )


def published_curve(picture: Tensor, audio: Tensor) -> np.ndarray:
    """Embeddings (F, E) of picture and audio -> (31,) mean distance at each offset.

    As published: where an offset reaches beyond the clip, the audio's embedding is zero, and counts.
    """
    if picture.shape != audio.shape or picture.ndim != 2 or len(picture) == 0:
        raise ValueError(f"embeddings {tuple(picture.shape)} and {tuple(audio.shape)}, wanted two alike (F, E)")
    padded = torch.nn.functional.pad(audio, (0, 0, MAX_OFFSET_FRAMES, MAX_OFFSET_FRAMES))
    frames = len(picture)
    curve = [
        torch.linalg.vector_norm(
            picture - padded[MAX_OFFSET_FRAMES - k : MAX_OFFSET_FRAMES - k + frames] + DISTANCE_EPSILON, dim=1
        )
        .double()
        .mean()
        for k in range(-MAX_OFFSET_FRAMES, MAX_OFFSET_FRAMES + 1)
    ]
    return torch.stack(curve).numpy()


def masked_curve(picture: Tensor, audio: Tensor, tracked: Tensor, audible: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (F, E), (F,) bool each where they are valid -> sums of distances (31,) and counts (31,).

    Only pairs of two real embeddings count: nothing is compared beyond the clip's ends.
    """

    def distance(one: Tensor, two: Tensor) -> Tensor:
        return torch.linalg.vector_norm(one - two, dim=-1).double()

    sums, counts = lag_sums(picture[None], audio[None], tracked[None], audible[None], MAX_OFFSET_FRAMES, distance)
    return sums[0].numpy(), counts[0].numpy()

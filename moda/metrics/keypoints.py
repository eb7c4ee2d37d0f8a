"""Distances of landmarks as other papers report them: AKD, and LMD of centred lips.

Lengths are pixels of the square frame at 256, the size at which those papers work; frames without a face in either
video are left out.
"""

from __future__ import annotations

import numpy as np

from moda.landmarks import LIPS, N_MESH
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.representation import FRAME

SIDE_PX = 256
"""Side of the square frame in whose pixels these are given."""
NO_FRAME = NotAvailable("no frame with a face in both videos")


@metric(
    name="akd", label="AKD", unit="px of 256", better="lower",
    source="average keypoint distance, Siarohin et al. 2019, there of 68 points", needs=("tracks", "frame"),
)  # fmt: skip
def average_keypoint_distance(clip: ClipPair) -> Value:
    """Mean distance in x and y of the 468 points of the face mesh between generated and true frame; not aligned, so
    head motion counts in full.
    """
    pair = clip.tracks
    if not pair.valid.any():
        return NO_FRAME
    return _mean_distance((pair.generated.landmarks - pair.true.landmarks)[pair.valid][:, :N_MESH])


@metric(
    name="lmd_centred", label="LMD centred", unit="px of 256", better="lower",
    source="landmark distance of centred mouths, as in TalkingGaussian (Li et al. 2024); there of 20 points",
)  # fmt: skip
def centred_landmark_distance(clip: ClipPair) -> Value:
    """LMD of the 40 lip landmarks after the centre of the lips is moved to 0 in both: without the place of the mouth,
    with its size and turn.
    """
    pair = clip.tracks
    if not pair.valid.any():
        return NO_FRAME
    true, generated = (face.landmarks[pair.valid][:, list(LIPS), :2] for face in (pair.true, pair.generated))
    return _mean_distance(
        (generated - generated.mean(axis=1, keepdims=True)) - (true - true.mean(axis=1, keepdims=True))
    )


def _mean_distance(difference: np.ndarray) -> float:
    """Mean length in x and y of (n, V, 2 or 3) vectors in pixels of the square frame, in those of it at 256."""
    return float(np.linalg.norm(difference[..., :2], axis=-1).mean()) * SIDE_PX / FRAME

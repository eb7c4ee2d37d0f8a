"""Diversity of what was generated from one audio with several seeds."""

from __future__ import annotations

import numpy as np

from moda.landmarks import EYES
from moda.metrics.clip_pair import ClipPair
from moda.metrics.diversity import diversity
from moda.metrics.registry import NotAvailable, Value, metric
from moda.metrics.tracks import FaceTrack

SOURCE = "the paper; form inferred, docs/method.md, section 6"


@metric(
    name="diversity_head",
    label="diversity, head",
    unit="degrees",
    better="higher",
    version=1,
    source=SOURCE,
    needs=("samples",),
)
def head_diversity(clip: ClipPair) -> Value:
    """Mean over pairs of seeds and over frames of the L2 distance between head rotations (pitch, yaw, roll), as
    detected; frames without a face in any sample are left out. 0 where the seed changes nothing, but for noise.
    """
    faces, seen = _samples(clip)
    return diversity([_rotation(face)[seen] for face in faces]) if seen.any() else _NONE


@metric(
    name="diversity_eyes",
    label="diversity, eyes",
    unit="px",
    better="higher",
    version=1,
    source=SOURCE,
    needs=("samples",),
)
def eye_diversity(clip: ClipPair) -> Value:
    """The same for the eyes: L2 distance over all 60 eye, brow and iris points after rigid alignment."""
    faces, seen = _samples(clip)
    return diversity([face.canonical[seen][:, list(EYES)] for face in faces]) if seen.any() else _NONE


_NONE = NotAvailable("no frame with a face in all samples")


def _samples(clip: ClipPair) -> tuple[tuple[FaceTrack, ...], np.ndarray]:
    """The samples, and (T,) bool where all of them have a face."""
    faces = clip.samples
    assert not isinstance(faces, NotAvailable)  # they are needed, so they are there
    return faces, np.all([face.tracked for face in faces], axis=0)


def _rotation(face: FaceTrack) -> np.ndarray:
    """(T, 3) head rotation, degrees; NaN without a face."""
    rotation = np.full((len(face), 3), np.nan)
    rotation[face.tracked] = face.pose.rotation
    return rotation

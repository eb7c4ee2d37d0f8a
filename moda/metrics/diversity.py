"""Diversity: how much the motion differs between samples made from one audio (docs/method.md, section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from moda.landmarks import EYES
from moda.metrics.landmark import MIN_FRAMES
from moda.metrics.motion import rotation
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.metrics.tracks import FaceTrack

SOURCE = "the paper; form inferred, docs/method.md, section 6"
RANGE_SOURCE = "head diversity of SadTalker (Zhang et al. 2023) and KDTalker, there of Hopenet's features"
NO_FACE = NotAvailable("no frame with a face in all samples")


@metric(
    name="diversity_head",
    label="diversity, head",
    unit="degrees",
    better="higher",
    source=SOURCE,
    needs=("samples",),
)
def head_diversity(clip: ClipPair) -> Value:
    """Mean over pairs of seeds and over frames of the L2 distance between head rotations (pitch, yaw, roll), as
    detected; frames without a face in any sample are left out. 0 where the seed changes nothing, but for noise.
    """
    faces, tracked = _samples(clip)
    return diversity([rotation(face)[tracked] for face in faces]) if tracked.any() else NO_FACE


@metric(
    name="diversity_eyes",
    label="diversity, eyes",
    unit="px",
    better="higher",
    source=SOURCE,
    needs=("samples",),
)
def eye_diversity(clip: ClipPair) -> Value:
    """The same for the eyes: L2 distance over all 60 eye, brow and iris points after rigid alignment."""
    faces, tracked = _samples(clip)
    return diversity([face.canonical[tracked][:, list(EYES)] for face in faces]) if tracked.any() else NO_FACE


@metric(name="head_range", label="head diversity, absolute", unit="degrees", better="truth", source=RANGE_SOURCE)
def absolute_head_diversity(clip: ClipPair) -> Value:
    """Standard deviation over time of the generated head's rotation, mean of pitch, yaw and roll. One video is enough;
    papers call a large one good, but a head that trembles has it too: the nearer to the truth's the better.
    """
    angles = rotation(clip.tracks.generated)[clip.tracks.generated.tracked]
    if len(angles) < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face")
    return float(angles.std(axis=0).mean())


def _samples(clip: ClipPair) -> tuple[tuple[FaceTrack, ...], np.ndarray]:
    """The samples, and (T,) bool where all of them have a face."""
    faces = clip.samples
    assert not isinstance(faces, NotAvailable)  # they are needed, so they are there
    return faces, np.all([face.tracked for face in faces], axis=0)


def diversity(samples: Sequence[np.ndarray]) -> float:
    """Mean pairwise L2 distance over N samples: of each pair the mean over frames of the distance in all channels.

    samples: N >= 2 arrays (T, ...) of one shape and one unit, e.g. head rotations (T, 3) or eye offsets
    (T, 60, 3), each made from the same audio with another seed. In the samples' unit; 0 when the seed
    changes nothing. Raises ValueError for fewer than two samples, samples of different shapes or of no frame.
    """
    shapes = {np.shape(sample) for sample in samples}
    if len(samples) < 2 or len(shapes) != 1 or 0 in next(iter(shapes)):
        raise ValueError(f"{len(samples)} samples of shapes {sorted(shapes)}: wanted two or more, alike, not empty")
    flat = [np.asarray(sample, np.float64).reshape(len(sample), -1) for sample in samples]
    distances = [np.linalg.norm(one - two, axis=1).mean() for one, two in combinations(flat, 2)]
    return float(np.mean(distances))

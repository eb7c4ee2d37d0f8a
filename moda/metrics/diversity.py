"""Diversity: how much the motion differs between samples made from one audio (docs/method.md, section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np


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

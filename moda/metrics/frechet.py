"""Fréchet distances between a row's clips and the true ones: of face shapes, of pictures (FID), of videos (FVD).

Each clip gives rows of numbers (samples.py); a distance is that of two Gaussians fitted to all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from moda.errors import DataError
from moda.metrics.over_clips import ClipSet, set_metric
from moda.metrics.registry import NotAvailable
from moda.metrics.scripted import named
from moda.moments import Moments
from moda.reading import read_arrays

MAX_SAMPLE_BYTES = 1 << 30
"""Largest file of a clip's rows."""


@set_metric(
    name="shape_frechet", label="shape distance", unit="(% eyes)^2", better="lower", sampler="shape",
    source="form of E-FID (Tian et al. 2024, EMO), there of a 3D model's expressions; measures ours",
)  # fmt: skip
def shape_distance(clips: ClipSet, draws: np.ndarray) -> np.ndarray | NotAvailable:
    """Fréchet distance between 25 distances in the face (lips, mouth, eyes, brows; after rigid alignment, in percent
    of that between the eyes) of all generated and of all true frames, every 5th. Compares which shapes there are, not
    when. Not E-FID: that has expressions of a 3D face model. It falls with the number of frames.
    """
    return _distance(clips, "shape")


@set_metric(
    name="fid", label="FID", unit="1", better="lower", sampler="fid", source="Heusel et al. 2017",
    variant=lambda settings: named(settings.fid_weights, "network"),
)  # fmt: skip
def picture_distance(clips: ClipSet, draws: np.ndarray) -> np.ndarray | NotAvailable:
    """Fréchet distance between a network's values of all generated and of all true frames, every 5th, of the square
    frame at 256 px. Depends on the number of frames: to be compared only over the same clips.
    """
    return _distance(clips, "fid")


@set_metric(
    name="fvd", label="FVD", unit="1", better="lower", sampler="fvd", source="Unterthiner et al. 2019",
    variant=lambda settings: named(settings.fvd_weights, "network"),
)  # fmt: skip
def video_distance(clips: ClipSet, draws: np.ndarray) -> np.ndarray | NotAvailable:
    """Fréchet distance between a network's values of all generated and of all true stretches of 16 frames, of the
    square frame at 224 px. Depends on the number of stretches.
    """
    return _distance(clips, "fvd")


def _distance(clips: ClipSet, name: str) -> np.ndarray | NotAvailable:
    pairs, why = [], NotAvailable("no clip was sampled")
    for clip in clips.clips:
        made, true = (rows[name].get(clip, why) for rows in (clips.samples, clips.true_samples))
        if isinstance(made, NotAvailable) or isinstance(true, NotAvailable):
            why = made if isinstance(made, NotAvailable) else why
        else:
            pairs.append((made, true))
    if not pairs:
        return why
    first, second = (_moments(pair[side] for pair in pairs) for side in (0, 1))
    if min(first.count, second.count) < 2:
        return NotAvailable("fewer than 2 samples")
    return np.array([frechet(first, second)])


def _moments(paths: Iterable[Path]) -> Moments:
    """Moments of the rows in all files, one file in memory at a time."""
    whole: Moments | None = None
    for path in paths:
        part = Moments.of(read_arrays(path, ("rows",), limit=MAX_SAMPLE_BYTES)["rows"], scatter=True)
        whole = part if whole is None else whole.absorb(part)
    if whole is None:
        raise DataError("no samples")
    return whole


def frechet(first: Moments, second: Moments) -> float:
    """Fréchet distance of two Gaussians, their covariances with N - 1 as FID has them; 0 for equal ones."""
    one, two = (_covariance(moments) for moments in (first, second))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    middle = np.linalg.eigvalsh(root @ two @ root)
    shift = float(((first.mean - second.mean) ** 2).sum())
    spread = float(np.trace(one) + np.trace(two) - 2 * np.sqrt(np.maximum(middle, 0)).sum())
    return max(0.0, shift + spread)


def _covariance(moments: Moments) -> np.ndarray:
    assert moments.scatter is not None
    return np.asarray(moments.scatter / (moments.count - 1))

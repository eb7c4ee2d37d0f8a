"""Sums of a clip from which training statistics are computed, so that a training run need not read all footage first.

    moments.npz   rest     rotation 3, translation 3, scale 1, torso 54: what the motion is relative to
                  <group>  count 1, mean K, squares K and, for the groups of COVARIANCE_GROUPS, the upper triangle of
                           the scatter matrix, K (K + 1) / 2; groups: lips, eyes, head, torso, face

All float64, one row each. Their meaning: `moda.normalization.Moments`, `moda.geometry.Rest`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from moda.errors import DataError
from moda.files import write_npz
from moda.geometry import Rest, face_offsets, motion_targets, to_canonical
from moda.landmarks import N_LANDMARKS, N_TORSO
from moda.moments import Moments
from moda.reading import read_arrays
from moda.representation import SHAPES as MOTION_SHAPES
from moda.representation import HeadPose

FILE = "moments.npz"
GROUPS = ("lips", "eyes", "head", "torso")
"""Parts of a motion."""
COVARIANCE_GROUPS = ("eyes", "head", "torso")
"""Groups whose covariance stage 1 needs, for the PCA basis of its flow."""
SHAPES: dict[str, tuple[int, ...]] = {**MOTION_SHAPES, "face": (N_LANDMARKS, 3)}
CHUNK_FRAMES = 1500
"""Frames summed at a time: a minute."""


@dataclass(frozen=True)
class ClipMoments:
    """Rest of a clip and the moments of its groups, by the names of `SHAPES`."""

    rest: Rest
    groups: dict[str, Moments]


def clip_moments(landmarks: np.ndarray, pose: HeadPose, torso: np.ndarray, subject: np.ndarray) -> ClipMoments:
    """Sums over a whole clip: landmarks (T, 478, 3), pose (T), torso (T, 18, 3), subject (478, 3)."""
    rest = Rest.of(pose, torso)
    total: dict[str, Moments] = {}
    for start in range(0, len(landmarks), CHUNK_FRAMES):
        span = slice(start, start + CHUNK_FRAMES)
        canonical = to_canonical(landmarks[span], pose[span])
        motion = motion_targets(canonical, pose[span], torso[span], subject, rest=rest)
        values = {name: getattr(motion, name) for name in GROUPS} | {"face": face_offsets(canonical, subject)}
        for name, array in values.items():
            part = Moments.of(array, scatter=name in COVARIANCE_GROUPS)
            total[name] = total[name].merge(part) if name in total else part
    return ClipMoments(rest, total)


def write_moments(folder: Path, moments: ClipMoments) -> None:
    """Write FOLDER/moments.npz whole or not at all.

    Raises `DataError` for values that are not finite, `OutputError` if the place cannot be written.
    """
    path = folder / FILE
    rest = moments.rest
    parts = [rest.pose.rotation, rest.pose.translation, rest.pose.scale, rest.torso]
    arrays = {"rest": np.concatenate([np.ravel(part).astype(np.float64) for part in parts])}
    for name, group in moments.groups.items():
        parts = [np.array(group.count), group.mean, group.squares]
        if group.scatter is not None:
            parts.append(group.scatter[_upper(len(group.scatter))])
        arrays[name] = np.concatenate([part.ravel() for part in parts])
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise DataError(f"cannot store '{key}' in {path}: it is not finite")
    write_npz(path, arrays)


def read_rest(folder: Path) -> Rest:
    """Rest of the clip in FOLDER. Raises `DataError` naming the file, as `read_moments`."""
    rotation, translation, scale, torso = np.split(_read(folder, {"rest": 7 + 3 * N_TORSO})["rest"], [3, 6, 7])
    return Rest(HeadPose(rotation, translation, scale[0]), torso.reshape(SHAPES["torso"]))


def read_moments(folder: Path, groups: Iterable[str], frames: int) -> dict[str, Moments]:
    """Moments of some groups ("lips", ... "face") of a clip of `frames` frames.

    Raises `DataError` naming the file if it is missing, damaged, of another clip, or not finite.
    """
    channels = {name: math.prod(SHAPES[name]) for name in groups}
    rows = _read(
        folder, {k: 1 + 2 * n + (n * (n + 1) // 2 if k in COVARIANCE_GROUPS else 0) for k, n in channels.items()}
    )
    found = {}
    for name, n in channels.items():
        count, mean, squares, products = np.split(rows[name], [1, 1 + n, 1 + 2 * n])
        if count[0] != frames:
            raise DataError(f"{folder / FILE} sums {count[0]:g} frames, wanted {frames}; prepare the clip again")
        scatter = None
        if name in COVARIANCE_GROUPS:
            scatter = np.zeros((n, n))
            scatter[_upper(n)] = products
            scatter.T[_upper(n)] = products
        found[name] = Moments(frames, mean.reshape(SHAPES[name]), squares.reshape(SHAPES[name]), scatter)
    return found


@cache
def _upper(channels: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(channels)


def _read(folder: Path, lengths: dict[str, int]) -> dict[str, np.ndarray]:
    path = folder / FILE
    rows = read_arrays(path, lengths, hint="; prepare the clip again")
    for key, length in lengths.items():
        if rows[key].shape != (length,):
            raise DataError(
                f"'{key}' in {path} has shape {rows[key].shape}, wanted {(length,)}; prepare the clip again"
            )
        if not np.isfinite(rows[key]).all():
            raise DataError(f"'{key}' in {path} is not finite; prepare the clip again")
    return rows

"""Sums of a clip that training statistics are made of, so that a training reads no footage to begin.

    moments.npz   frames, rest_{rotation,translation,scale,torso}
                  <group>_mean, <group>_squares for every group of GROUPS and the face
                  <group>_products: upper triangle of the scatter matrix, for the groups of DRAWN

All float64. What they mean: `moda.normalization.Moments`, `moda.geometry.Rest`.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moda.errors import DataError, OutputError
from moda.geometry import Rest, face_offsets, motion_targets, to_canonical
from moda.landmarks import EYES, LIPS, N_LANDMARKS, N_TORSO
from moda.normalization import Moments
from moda.representation import HEAD, HeadPose

FILE = "moments.npz"
GROUPS = ("lips", "eyes", "head", "torso")
"""Parts of a motion."""
DRAWN = ("eyes", "head", "torso")
"""Groups whose covariance stage 1 needs, for the basis its flow draws motion in."""
SHAPES: dict[str, tuple[int, ...]] = {
    "lips": (len(LIPS), 3),
    "eyes": (len(EYES), 3),
    "head": (HEAD,),
    "torso": (N_TORSO, 3),
    "face": (N_LANDMARKS, 3),
}
CHUNK = 1500
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
    for start in range(0, len(landmarks), CHUNK):
        span = slice(start, start + CHUNK)
        canonical = to_canonical(landmarks[span], pose[span])
        motion = motion_targets(canonical, pose[span], torso[span], subject, rest=rest)
        values = {name: getattr(motion, name) for name in GROUPS} | {"face": face_offsets(canonical, subject)}
        for name, array in values.items():
            part = Moments.of(array, scatter=name in DRAWN)
            total[name] = total[name].merge(part) if name in total else part
    return ClipMoments(rest, total)


def write_moments(folder: Path, moments: ClipMoments) -> None:
    """Write FOLDER/moments.npz whole or not at all.

    Raises `DataError` for values that are not finite, `OutputError` if the place cannot be written.
    """
    path = folder / FILE
    arrays: dict[str, np.ndarray] = {
        "frames": np.array(moments.groups["lips"].count),
        "rest_rotation": moments.rest.pose.rotation,
        "rest_translation": moments.rest.pose.translation,
        "rest_scale": np.asarray(moments.rest.pose.scale),
        "rest_torso": moments.rest.torso.astype(np.float64),
    }
    for name, group in moments.groups.items():
        arrays |= {f"{name}_mean": group.mean, f"{name}_squares": group.squares}
        if group.scatter is not None:
            arrays[f"{name}_products"] = group.scatter[np.triu_indices(len(group.scatter))]
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise DataError(f"cannot store '{key}' in {path}: it is not finite")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def read_rest(folder: Path) -> Rest:
    """Rest of the clip in FOLDER. Raises `DataError` naming the file, as `read_moments`."""
    shapes = {"rest_rotation": (3,), "rest_translation": (3,), "rest_scale": (), "rest_torso": SHAPES["torso"]}
    rotation, translation, scale, torso = _read(folder, shapes).values()
    return Rest(HeadPose(rotation, translation, scale), torso)


def read_moments(folder: Path, group: str, frames: int) -> Moments:
    """Moments of one group ("lips", ... "face") of a clip of `frames` frames.

    Raises `DataError` naming the file if it is missing, damaged, of another clip, or not finite.
    """
    shape = SHAPES[group]
    channels = int(np.prod(shape))
    shapes: dict[str, tuple[int, ...]] = {"frames": (), f"{group}_mean": shape, f"{group}_squares": shape}
    if group in DRAWN:
        shapes[f"{group}_products"] = (channels * (channels + 1) // 2,)
    arrays = list(_read(folder, shapes).values())
    if int(arrays[0]) != frames:
        raise DataError(f"{folder / FILE} sums {int(arrays[0])} frames, wanted {frames}; prepare the clip again")
    scatter = None
    if group in DRAWN:
        upper = np.zeros((channels, channels))
        upper[np.triu_indices(channels)] = arrays[3]
        scatter = upper + np.triu(upper, 1).T
    return Moments(frames, arrays[1], arrays[2], scatter)


def _read(folder: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    path = folder / FILE
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in shapes}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {path}: {error}; prepare the clip again") from error
    for key, shape in shapes.items():
        if arrays[key].shape != shape:
            raise DataError(f"'{key}' in {path} has shape {arrays[key].shape}, wanted {shape}; prepare the clip again")
        if not np.isfinite(arrays[key]).all():
            raise DataError(f"'{key}' in {path} is not finite; prepare the clip again")
    return arrays

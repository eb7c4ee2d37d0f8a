"""Sums of a clip from which training statistics are computed, so that a training run need not read all footage first.

    moments.npz   rest     rotation 3, translation 3, scale 1, torso 54: what the motion is relative to
                  <group>  count 1, mean K, squares K and, for the groups of COVARIANCE_GROUPS, the upper triangle of
                           the scatter matrix, K (K + 1) / 2; groups: lips, eyes, head, torso, face

All float64, one row each. Their meaning: `moda.normalization.Moments`, `moda.geometry.Rest`.
"""

from __future__ import annotations

import io
import math
import stat
import struct
import zipfile
import zlib
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
from moda.reading import MAX_ARRAY_BYTES, read_arrays
from moda.representation import SHAPES as MOTION_SHAPES
from moda.representation import HeadPose

FILE = "moments.npz"
GROUPS = ("lips", "eyes", "head", "torso")
"""Parts of a motion."""
COVARIANCE_GROUPS = ("eyes", "head", "torso")
"""Groups whose covariance stage 1 needs, for the PCA basis of its flow."""
SHAPES: dict[str, tuple[int, ...]] = {**MOTION_SHAPES, "face": (N_LANDMARKS, 3)}
_LOCAL = struct.Struct("<4s22xHH")
"""Header of a member inside a zip: signature, lengths of its name and of what follows it."""
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
        row = rows[name]
        mean, squares, products = row[1 : 1 + n], row[1 + n : 1 + 2 * n], row[1 + 2 * n :]
        if row[0] != frames:
            raise DataError(f"{folder / FILE} sums {row[0]:g} frames, wanted {frames}; prepare the clip again")
        scatter = None
        if name in COVARIANCE_GROUPS:
            scatter = products.take(_places(n), mode="clip")
        found[name] = Moments(frames, mean.reshape(SHAPES[name]), squares.reshape(SHAPES[name]), scatter)
    return found


@cache
def _upper(channels: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(channels)


@cache
def _places(channels: int) -> np.ndarray:
    """(channels, channels) int: where each element of a symmetric matrix stands in its upper triangle."""
    places = np.zeros((channels, channels), np.intp)
    places[_upper(channels)] = np.arange(len(_upper(channels)[0]))
    places.T[_upper(channels)] = places[_upper(channels)]
    return places


def _read(folder: Path, lengths: dict[str, int]) -> dict[str, np.ndarray]:
    path = folder / FILE
    rows = _read_plain(path, lengths) or read_arrays(path, lengths, hint="; prepare the clip again")
    for key, length in lengths.items():
        if rows[key].shape != (length,):
            raise DataError(
                f"'{key}' in {path} has shape {rows[key].shape}, wanted {(length,)}; prepare the clip again"
            )
        if not np.isfinite(rows[key]).all():
            raise DataError(f"'{key}' in {path} is not finite; prepare the clip again")
    return rows


def _read_plain(path: Path, lengths: dict[str, int]) -> dict[str, np.ndarray] | None:
    """Rows of a file that is as `write_moments` makes it, with their checksums compared; None for any other.

    Ten times as fast as `read_arrays`: of thousands of clips all are read before a training begins.
    """
    try:
        status = path.stat()  # a pipe would wait for its writer
        data = path.read_bytes() if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_ARRAY_BYTES else b""
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.getinfo(f"{name}.npy") for name in lengths}
    except (OSError, KeyError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return None
    rows = {}
    for name, length in lengths.items():
        member, header = members[name], _header(length)
        fixed = data[member.header_offset : member.header_offset + _LOCAL.size]
        if member.compress_type != zipfile.ZIP_STORED or len(fixed) < _LOCAL.size:
            return None
        signature, name_bytes, extra_bytes = _LOCAL.unpack(fixed)
        start = member.header_offset + _LOCAL.size + name_bytes + extra_bytes
        contents = memoryview(data)[start : start + member.file_size]
        if signature != b"PK\3\4" or contents[: len(header)] != header or zlib.crc32(contents) != member.CRC:
            return None
        if len(contents) != len(header) + 8 * length:
            return None
        rows[name] = np.frombuffer(contents, np.float64, length, len(header)).copy()  # else it keeps the whole file
    return rows


@cache
def _header(length: int) -> bytes:
    """That of the .npy of one row."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.zeros(length))
    return buffer.getvalue()[: -8 * length]

"""Annotations: pose, person mask and parsing that other programs made, taken in the place of ours.

A folder holds a folder for each source video, named as the video without its ending (below the folder of
videos, `may/take1.mp4` -> FOLDER/may/take1/), with any of these files:

    pose.npz     fps; rotation (N, 3) degrees pitch, yaw, roll; optional convention, translation, scale
    person.npz   fps; mask (N, h, w) uint8 0..255, bool, or float 0..1: how much of a pixel is person
    person.mp4   the same as a grey video (RVM's alpha), of any frame rate
    parsing.npz  fps; labels (N, h, w) uint8, 0 = background (BiSeNet, CelebAMask-HQ classes)

Item i belongs to the moment i / fps of the source video. Masks show the whole picture, at any size of
its proportions (256 pixels high are enough). A person mask goes before parsing. numpy.savez and
savez_compressed will do; of a long one only a frame at a time is held in memory.

Signs (moda.geometry: image = scale * R @ canonical + translation; x right, y down, z away from the
camera; R = Rz(roll) Ry(yaw) Rx(pitch)). In convention "moda", the one meant where none is named:
pitch > 0: the nose goes down; yaw > 0: the nose goes to the picture's left; roll > 0: the head turns
clockwise as seen in the picture. Conventions, and how they are converted:

    "moda"      as above.
    "whenet"    WHENet, HopeNet, FSA-Net, 6DRepNet (300W-LP's angles): pitch > 0 is nose up, yaw and roll
                as here; R = Rx(-pitch) Ry(yaw) Rz(roll), so that angles are converted, not only signs.
    "3ddfa_v2"  3DDFA_V2's calc_pose: pitch and yaw as here, roll > 0 counter-clockwise, the same order of
                turns. It returns yaw, pitch, roll: reorder to pitch, yaw, roll.

A pose whose angle runs against the tracked face is refused. Translation (N, 2 or 3) and scale (N,) are
of the canonical face of MediaPipe in source pixels (scale 1: 14 pixels to the centimetre); leave both
out, as for all programs above, and they are fitted to the landmarks under that rotation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from data_prepare.annotation_masks import FrameStack, covered, frame_rate, masks_of_stack, masks_of_video
from moda.errors import DataError
from moda.geometry import fit_head_pose, fit_under_rotation
from moda.imaging.crop import Box, to_frame
from moda.reading import read_arrays
from moda.representation import FRAME, HeadPose, interpolate

POSE_FILE, MASK_FILES = "pose.npz", ("person.npz", "person.mp4", "parsing.npz")
FILE_NAMES = (POSE_FILE, *MASK_FILES)
CONVENTIONS = ("moda", "whenet", "3ddfa_v2")
ANGLES = ("pitch", "yaw", "roll")
MIN_ANGLE_STD_DEGREES = 2.0
"""An angle is compared with the tracked face if both move by this standard deviation, degrees."""
MIN_ANGLE_CORRELATION = -0.5
"""Correlation below which an angle runs against the tracked face."""
MAX_NUMBER = 1e6
"""Of degrees, pixels and scale."""
MAX_HEAD_ANGLE_DEGREES = 45.0
"""Median angle between the annotated and the tracked head beyond which they are not one head, degrees."""


class _Pose(NamedTuple):
    fps: float
    rotation: np.ndarray
    """(N, 3) degrees in moda's convention."""
    translation: np.ndarray | None
    scale: np.ndarray | None


@dataclass(frozen=True)
class Annotations:
    """The annotations of one source video. A file is read, and checked, when its content is needed."""

    folder: Path
    files: tuple[str, ...]
    """Those of `FILE_NAMES` that are there."""

    @staticmethod
    def find(folder: Path | None, source_name: str) -> Annotations | None:
        """Those that `folder` holds for a video, by its path relative to the folder of videos; None without any.

        Raises `DataError` if there is no such folder, or the video's own holds files but none of ours.
        """
        if folder is None:
            return None
        if not folder.is_dir():
            raise DataError(f"no such folder of annotations: {folder}")
        own = folder / Path(source_name).with_suffix("")
        if not own.is_dir():
            return None
        files = tuple(name for name in FILE_NAMES if (own / name).is_file())
        others = sorted(path.name for path in own.iterdir() if path.is_file() and path.name not in FILE_NAMES)
        if not files and others:
            raise DataError(f"{own} holds {others[0]}, wanted one of {', '.join(FILE_NAMES)}")
        if "person.npz" in files and "person.mp4" in files:
            raise DataError(f"{own} holds person.npz and person.mp4, wanted one of them")
        return Annotations(own, files) if files else None

    @property
    def has_pose(self) -> bool:
        """There is a rotation."""
        return POSE_FILE in self.files

    @property
    def has_masks(self) -> bool:
        """There is a person mask or parsing."""
        return any(name in MASK_FILES for name in self.files)

    def stamp(self, names: Collection[str]) -> str:
        """Names, sizes and times of those of these files that are there: what a step that reads them depends on."""
        stats = [(name, (self.folder / name).stat()) for name in self.files if name in names]
        return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)

    def rotation(self, times: np.ndarray) -> np.ndarray | None:
        """(T,) seconds of the source -> (T, 3) degrees as `HeadPose.rotation`, or None without pose.npz."""
        if not self.has_pose:
            return None
        pose = self._read_pose()
        return self._at(pose.rotation, pose.fps, times)

    def pose(self, times: np.ndarray, box: Box, landmarks: np.ndarray) -> HeadPose | None:
        """Head pose (T) in the square frame, or None without pose.npz.

        times: (T,) seconds of the source. box: the clip's crop in it. landmarks: (T, 478, 3) pixels of the
        square frame; they give place and size where the file does not, and are what it is compared with.
        Raises `DataError` if the annotated head turns the other way, or is not this one.
        """
        if not self.has_pose:
            return None
        annotated, path = self._read_pose(), self.folder / POSE_FILE
        rotation = self._at(annotated.rotation, annotated.fps, times)
        _check_same_head(path, rotation, fit_head_pose(landmarks).rotation)
        fitted = fit_under_rotation(landmarks, rotation)
        if annotated.translation is None or annotated.scale is None:
            if not (fitted.scale > 0).all():
                raise DataError(f"{path}: in frame {int(np.argmin(fitted.scale))} of the clip the head is turned over")
            return fitted
        translation = fitted.translation.copy()
        axes = annotated.translation.shape[1]
        translation[:, :axes] = to_frame(self._at(annotated.translation, annotated.fps, times), box)
        return HeadPose(rotation, translation, self._at(annotated.scale, annotated.fps, times) * (FRAME / box.side))

    def masks(self, times: np.ndarray, box: Box, width: int, height: int) -> Iterator[np.ndarray]:
        """Person masks of the crop, (256, 256) float32 0..1, one for each of `times`.

        times: (T,) seconds of the source, ascending. width, height: of the source picture.
        Raises `DataError` if there is no mask (see `has_masks`), or it does not fit.
        """
        if "person.mp4" in self.files:
            return masks_of_video(self.folder / "person.mp4", times, box, width, height)
        name, key = ("person.npz", "mask") if "person.npz" in self.files else ("parsing.npz", "labels")
        return masks_of_stack(FrameStack.open(self.folder / name, key), times, box, width, height)

    def _at(self, values: np.ndarray, fps: float, times: np.ndarray) -> np.ndarray:
        """(N, ...) at (T,) seconds, linear in time."""
        place = covered(self.folder / POSE_FILE, np.asarray(times, np.float64) * fps, len(values), fps)
        return interpolate(values, place)

    def _read_pose(self) -> _Pose:
        path = self.folder / POSE_FILE
        arrays = read_arrays(path, [], optional=["fps", "rotation", "convention", "translation", "scale"])
        fps = frame_rate(path, arrays.get("fps"))
        rotation = _floats(path, arrays, "rotation", (3,))
        count = len(rotation)
        convention = str(arrays.get("convention", "moda"))
        if convention not in CONVENTIONS:
            raise DataError(f"{path}: convention is {convention[:60]!r}, wanted one of {', '.join(CONVENTIONS)}")
        rotation = np.unwrap(_as_moda(rotation, convention), period=360.0, axis=0)
        if ("translation" in arrays) != ("scale" in arrays):
            raise DataError(f"{path} holds one of translation and scale, wanted both or none")
        if "scale" not in arrays:
            return _Pose(fps, rotation, None, None)
        translation = _floats(path, arrays, "translation", (2,), (3,))
        scale = _floats(path, arrays, "scale", ())
        if not len(translation) == len(scale) == count:
            raise DataError(f"{path}: rotation {count}, translation {len(translation)}, scale {len(scale)} frames long")
        if not (scale > 0).all():
            raise DataError(f"{path}: scale is {scale.min():g} somewhere, wanted more than 0")
        return _Pose(fps, rotation, translation, scale)


def _as_moda(rotation: np.ndarray, convention: str) -> np.ndarray:
    """(N, 3) degrees pitch, yaw, roll of a convention -> of moda's."""
    if convention == "whenet":
        return Rotation.from_euler("XYZ", rotation * [-1.0, 1.0, 1.0], degrees=True).as_euler("xyz", degrees=True)
    return rotation * [1.0, 1.0, -1.0] if convention == "3ddfa_v2" else rotation


def _check_same_head(path: Path, annotated: np.ndarray, tracked: np.ndarray) -> None:
    """Compare two rotations (T, 3) of one head, degrees; raises `DataError` if they contradict."""
    for axis, name in enumerate(ANGLES):
        ours, theirs = np.unwrap(tracked[:, axis], period=360.0), annotated[:, axis]
        if min(ours.std(), theirs.std()) >= MIN_ANGLE_STD_DEGREES:
            agreement = float(np.corrcoef(ours, theirs)[0, 1])
            if agreement < MIN_ANGLE_CORRELATION:
                raise DataError(
                    f"{path}: {name} runs against the tracked face (correlation {agreement:.2f}); name its "
                    f"convention ({', '.join(CONVENTIONS)}), and put the angles in the order {', '.join(ANGLES)}"
                )
    turn = Rotation.from_euler("xyz", annotated, degrees=True).inv() * Rotation.from_euler("xyz", tracked, degrees=True)
    gap = float(np.degrees(np.median(turn.magnitude())))
    if gap > MAX_HEAD_ANGLE_DEGREES:
        raise DataError(
            f"{path}: the head is turned {gap:.0f} degrees from the tracked face, "
            f"wanted at most {MAX_HEAD_ANGLE_DEGREES:g}"
        )


def _floats(path: Path, arrays: dict[str, np.ndarray], name: str, *rest: tuple[int, ...]) -> np.ndarray:
    """An (N, *rest) array of finite numbers as float64; raises `DataError` if it is none."""
    value = arrays.get(name)
    wanted = " or ".join(f"(N{''.join(f', {size}' for size in shape)})" for shape in rest)
    if value is None:
        raise DataError(f"{path} holds no {name}, wanted {wanted}")
    if value.ndim == 0 or value.shape[1:] not in rest or not len(value) or value.dtype.kind not in "iuf":
        raise DataError(f"{path}: {name} is {value.dtype} {value.shape}, wanted numbers {wanted}")
    numbers = value.astype(np.float64)
    if not (np.abs(numbers) <= MAX_NUMBER).all():
        raise DataError(f"{path}: {name} holds NaN, infinity or numbers beyond {MAX_NUMBER:g}")
    return numbers

"""What travels between the parts: rates, units and records.

Dimension letters, used in every docstring:
    B batch, T frames, N audio samples, C channels, H W picture height and width.

Units, declared once:
    Positions are pixels of the **square frame**: the crop around head and shoulders, scaled to
    `FRAME` x `FRAME`, whatever size is rendered. x right, y down, z away from the camera.
    Rotations are degrees (pitch, yaw, roll); time is frames at `fps`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from moda.errors import DataError
from moda.files import write_npz
from moda.landmarks import EYES, LIPS, N_LANDMARKS, N_TORSO
from moda.reading import MAX_ARRAY_BYTES, array_claims, read_arrays

FRAME = 512
"""Side of the square frame: the unit of every position in this project."""
FPS = 25.0
"""Frames per second of every prepared clip and every network (paper, section 4)."""
SAMPLE_RATE = 16_000
"""Audio samples per second; 640 samples a frame at 25 fps, exactly."""
MARGIN = 0.25
"""What is kept around the square of a portrait, on each side, as a share of its own."""
HEAD = 7
"""Head channels: rotation 3, translation 3, scale 1."""
SHAPES: dict[str, tuple[int, ...]] = {
    "lips": (len(LIPS), 3),
    "eyes": (len(EYES), 3),
    "head": (HEAD,),
    "torso": (N_TORSO, 3),
}
"""Of each part of a motion in one frame."""
PARTS = tuple(SHAPES)
MOTION_VERSION = 1
"""Of motion files; those without a version are of the first."""
MAX_FPS = 1000
MAX_OFFSET = 1e5
"""Pixels or degrees; no frame is so large."""
WINDOW, STRIDE = 300, 150
"""Sliding window of inference, frames (paper, section 4)."""
WindowsName = Literal["stream", "low_delay", "paper"]
"""How stage 1 lays windows over the sound (`moda/windows.py`)."""
WindowPart = Literal["mouth", "eyes"]
"""Parts of a frame that a renderer with a warp refines, each in a window."""
WINDOW_SHARE = 0.375
"""Side of the mouth window, in which the renderer paints over its warp, as a share of the picture's side."""
EYES_WINDOW_SHARES = (0.375, 0.1875)
"""Width and height of its eye window, likewise."""


def frames_of(samples: int, fps: float = FPS) -> int:
    """Number of video frames that `samples` of audio last, rounded to the nearest, at least 1."""
    return max(1, round(samples * fps / SAMPLE_RATE))


def samples_at(frame: int) -> int:
    """Audio sample at which video frame `frame` begins: by time, so that no drift builds up."""
    return round(frame * SAMPLE_RATE / FPS)


def interpolate(values: np.ndarray, at: np.ndarray, first: int = 0) -> np.ndarray:
    """Values (N, ...) at fractional indices (T,) -> (T, ...), linear, held at the ends; of the values' dtype.

    first: index of the first value.
    """
    at = np.clip(at, first, first + len(values) - 1)
    low = np.floor(at).astype(int)
    weight = (at - low).reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
    low -= first
    high = np.minimum(low + 1, len(values) - 1)
    return np.asarray(values[low] * (1 - weight) + values[high] * weight)


@dataclass(frozen=True)
class HeadPose:
    """Where the head is: image = scale * R(rotation) @ canonical + translation.

    rotation: (..., 3) degrees pitch, yaw, roll. translation: (..., 3) pixels. scale: (...).
    """

    rotation: np.ndarray
    translation: np.ndarray
    scale: np.ndarray

    def __getitem__(self, index: Any) -> HeadPose:
        return HeadPose(self.rotation[index], self.translation[index], self.scale[index])


@dataclass(frozen=True)
class Motion:
    """The animation of a face, each part relative to the subject's rest.

    lips: (T, 40, 3) and eyes: (T, 60, 3) canonical offsets from the subject's mesh, pixels.
    head: (T, 7) rotation in degrees, translation in pixels, change of scale (0 = none).
    torso: (T, 18, 3) offsets of the shoulder points, pixels of the square frame.
    fps: frames per second.
    """

    lips: np.ndarray
    eyes: np.ndarray
    head: np.ndarray
    torso: np.ndarray
    fps: float = FPS

    def __post_init__(self) -> None:
        frames = np.shape(self.lips)[0] if np.ndim(self.lips) else 0
        for name, trailing in SHAPES.items():
            require_array(f"motion '{name}'", getattr(self, name), (frames, *trailing))

    def __len__(self) -> int:
        return len(self.lips)

    def at_fps(self, fps: float, frames: int) -> Motion:
        """Resample by time to `frames` frames at `fps` (linear); the same motion if nothing changes."""
        if fps == self.fps and frames == len(self):
            return self
        at = np.arange(frames) * self.fps / fps
        lips, eyes, head, torso = (interpolate(part, at) for part in (self.lips, self.eyes, self.head, self.torso))
        return Motion(lips, eyes, head, torso, fps)

    def scaled(self, lips: float = 1.0, eyes: float = 1.0, head: float = 1.0, torso: float = 1.0) -> Motion:
        """The same motion, each part larger or smaller about the subject's rest; 0 freezes it there."""
        return replace(
            self, lips=self.lips * lips, eyes=self.eyes * eyes, head=self.head * head, torso=self.torso * torso
        )

    def save(self, path: Path | str) -> None:
        """Write an npz that `Motion.load` reads back exactly, whole or not at all; raises `OutputError`."""
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        write_npz(Path(path), {**arrays, "version": np.asarray(MOTION_VERSION)}, compress=True)

    @staticmethod
    def load(path: Path | str, *, seconds: float = math.inf) -> Motion:
        """Read a motion file; raises `DataError` naming the file if it is not one or says nonsense.

        seconds: it lasts; one that claims to be more than a little longer is refused before it is read.
        """
        path, names = Path(path), [f.name for f in fields(Motion)]
        claims = array_claims(path, names, hint="; wanted a motion file (--save-motion)")
        wrong = [
            f"{name} {claim.dtype} {claim.shape}"
            for name, claim in claims.items()
            if claim.dtype.kind not in "fiu" or claim.shape[1:] != (() if name == "fps" else SHAPES[name])
        ]
        lengths = {claim.shape[:1] for name, claim in claims.items() if name != "fps"}
        if wrong or claims["fps"].shape or len(lengths) != 1 or lengths == {(0,)}:
            raise DataError(f"not a motion file: {path} ({', '.join(wrong) or 'its parts have no length in common'})")
        head = read_arrays(path, ["fps"], optional=["version"], limit=1 << 12)
        fps, frames = float(head["fps"]), claims["lips"].shape[0]
        if head.get("version", np.asarray(1)).tolist() != MOTION_VERSION:
            raise DataError(f"the motion file {path} is of another version, wanted {MOTION_VERSION}; update moda")
        if not 1 <= fps <= MAX_FPS:
            raise DataError(f"the motion file {path} has {fps:g} frames per second, wanted 1 to {MAX_FPS}")
        if frames / fps > seconds + 2:
            raise DataError(f"the motion {path} lasts {frames / fps:.2f} s, wanted {seconds:.2f} s")
        arrays = read_arrays(path, SHAPES, limit=MAX_ARRAY_BYTES if math.isinf(seconds) else 1 << 40)
        for name, values in arrays.items():
            if not np.isfinite(values).all() or abs(values).max() > MAX_OFFSET:
                raise DataError(
                    f"'{name}' of the motion file {path} has values that are not finite or beyond {MAX_OFFSET:g}; "
                    "make it again with --save-motion"
                )
        return Motion(**arrays, fps=fps)


@dataclass(frozen=True)
class Margin:
    """The photo around a portrait's square, `MARGIN` on each side; M = H + 2 * round(MARGIN * H).

    image: (M, M, 3) uint8 RGB. person: (M, M) float32 in 0..1, the person mask. seen: (M, M) bool, where the photo
    is; elsewhere both repeat its border.
    """

    image: np.ndarray
    person: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class Portrait:
    """The reference picture, understood.

    image: (H, H, 3) uint8 RGB, the square crop. landmarks: (478, 3) pixels of the square frame.
    pose: the head's. subject: (478, 3) canonical mesh at rest (mouth closed), pixels.
    torso: (18, 3) shoulder points. person: (H, H) float32 in 0..1, the person mask.
    margin: what the photo shows around the square, if it goes on.
    """

    image: np.ndarray
    landmarks: np.ndarray
    pose: HeadPose
    subject: np.ndarray
    torso: np.ndarray
    person: np.ndarray
    margin: Margin | None = None

    def __post_init__(self) -> None:
        side = np.shape(self.image)[0] if np.ndim(self.image) else 0
        wanted = {
            "image": (side, side, 3),
            "landmarks": (N_LANDMARKS, 3),
            "subject": (N_LANDMARKS, 3),
            "torso": (N_TORSO, 3),
            "person": (side, side),
        }
        for name, shape in wanted.items():
            require_array(f"portrait '{name}'", getattr(self, name), shape, finite=True)
        if self.image.dtype != np.uint8:
            raise DataError(f"portrait 'image' is of {self.image.dtype}, wanted uint8")
        for name, pose_shape in {"rotation": (3,), "translation": (3,), "scale": ()}.items():
            value = np.asarray(getattr(self.pose, name))
            require_array(f"portrait 'pose.{name}'", value, pose_shape, finite=True)


def require_array(name: str, value: object, shape: tuple[int, ...], *, finite: bool = False) -> None:
    """Raise `DataError` for what is no array of numbers of this shape, with finite values if so asked."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise DataError(f"{name} is a {type(value).__name__}, wanted a numpy array of numbers of shape {shape}")
    if value.shape != shape:
        raise DataError(f"{name} has shape {value.shape}, wanted {shape}")
    if finite and not np.isfinite(value).all():
        raise DataError(f"{name} holds values that are not finite")


SIGNATURE: dict[str, object] = {
    "version": 1,
    "fps": FPS,
    "sample_rate": SAMPLE_RATE,
    "frame": FRAME,
    "lips": len(LIPS),
    "eyes": len(EYES),
    "head": HEAD,
    "torso": N_TORSO,
    "landmarks": N_LANDMARKS,
    "units": "pixels of the square frame, degrees",
}
"""What three networks must agree on to be chained; stored in every checkpoint."""

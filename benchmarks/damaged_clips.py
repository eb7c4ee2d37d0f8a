"""True clips with known damage, of several strengths, for `benchmarks.metric_damage`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from moda.geometry import fit_head_pose, to_image
from moda.imaging.crop import crop_square, square_box
from moda.landmarks import LIPS, canonical_face
from moda.media.audio import read_audio, write_wav
from moda.media.video import VideoWriter, read_frames
from moda.representation import FPS, FRAME, SAMPLE_RATE
from moda.tracking.face import FaceTracker

TRUE_CRF = 14
"""Quality of the undamaged clips and of every damage but that of the bit rate."""
SILENT = np.float32(0.0)


@dataclass(frozen=True)
class TrueClip:
    """frames: RGB (T, 512, 512, 3). faces: (T, 478, 3) their landmarks, pixels. wave: (N,) 16 kHz."""

    name: str
    frames: list[np.ndarray]
    faces: np.ndarray
    wave: np.ndarray


@dataclass(frozen=True)
class Made:
    """A damaged clip: pictures, sound, quality of the encoding."""

    frames: list[np.ndarray]
    wave: np.ndarray
    crf: int = TRUE_CRF


Damage = Callable[[TrueClip, TrueClip, float], Made]
"""Of a clip, another person's, and a strength."""


def read_clip(path: Path, seconds: float) -> TrueClip:
    """The first seconds of a video in its face's square; raises SystemExit where a frame has no face."""
    count = round(seconds * FPS)
    frames = [np.array(frame) for frame in islice(read_frames(path, fps=FPS), count)]
    with FaceTracker(video=True) as tracker:
        faces = [tracker.track(frame) for frame in frames]
    if len(frames) < count or any(face is None for face in faces):
        raise SystemExit(f"{path}: wanted {count} frames with a face each")
    landmarks = np.stack([face for face in faces if face is not None])
    box = square_box(landmarks, frames[0].shape[1], frames[0].shape[0])
    points = (landmarks - [box.left, box.top, 0]) * (FRAME / box.side)
    wave = read_audio(path)[: round(seconds * SAMPLE_RATE)]
    return TrueClip(path.stem, [crop_square(frame, box, FRAME) for frame in frames], points, wave)


def late_sound(clip: TrueClip, other: TrueClip, frames: float) -> Made:
    """Sound that comes so many frames late."""
    late = round(frames * SAMPLE_RATE / FPS)
    return Made(clip.frames, np.concatenate([np.full(late, SILENT), clip.wave])[: len(clip.wave)])


def wrong_sound(clip: TrueClip, other: TrueClip, _: float) -> Made:
    """The other clip's sound."""
    return Made(clip.frames, other.wave[: len(clip.wave)])


def wrong_person(clip: TrueClip, other: TrueClip, _: float) -> Made:
    """The other clip's pictures."""
    return Made(other.frames, clip.wave)


def blurred(clip: TrueClip, other: TrueClip, sigma: float) -> Made:
    """Pictures under a Gaussian of so many pixels of 512."""
    return Made([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip.frames], clip.wave)


def jittered(clip: TrueClip, other: TrueClip, sigma: float) -> Made:
    """Pictures that jump from frame to frame, in x and y, by a deviation of so many pixels of 512."""
    moves = np.random.default_rng(0).normal(0, sigma, (len(clip.frames), 2))
    return Made(
        [_moved(frame, np.array([[1, 0, x], [0, 1, y]])) for frame, (x, y) in zip(clip.frames, moves, strict=True)],
        clip.wave,
    )


def coarse(clip: TrueClip, other: TrueClip, crf: float) -> Made:
    """Pictures coded at a lower bit rate: H.264's crf."""
    return Made(clip.frames, clip.wave, round(crf))


def frozen_mouth(clip: TrueClip, other: TrueClip, frames: float) -> Made:
    """The mouth of one frame for so many frames, moved with the head, then that of the next."""
    hold = round(frames)
    pose = fit_head_pose(clip.faces)
    rigid = canonical_face().vertices[canonical_face().rigid]
    anchors = to_image(np.repeat(rigid[None], len(clip.frames), axis=0), pose)[..., :2].astype(np.float32)
    made = []
    for t, frame in enumerate(clip.frames):
        held = t - t % hold
        move, _ = cv2.estimateAffinePartial2D(anchors[held], anchors[t])
        mask = np.zeros((FRAME, FRAME), np.float32)
        lips = clip.faces[held][list(LIPS), :2]
        hull = cv2.convexHull(((lips - lips.mean(axis=0)) * 1.5 + lips.mean(axis=0)).astype(np.int32))
        mask = cv2.GaussianBlur(cv2.fillConvexPoly(mask, hull, 1.0), (0, 0), 6)
        share = _moved(mask, move)[..., None]
        made.append((share * _moved(clip.frames[held], move) + (1 - share) * frame).round().astype(np.uint8))
    return Made(made, clip.wave)


def _moved(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(picture, matrix, (FRAME, FRAME), flags=cv2.INTER_LINEAR, borderMode=border))


DAMAGES: dict[str, tuple[Damage, Sequence[float], str]] = {
    "late sound": (late_sound, (2, 5, 12), "frames"),
    "wrong sound": (wrong_sound, (1,), ""),
    "frozen mouth": (frozen_mouth, (3, 8, 1000), "held"),
    "jitter": (jittered, (0.5, 1, 2), "px"),
    "blur": (blurred, (1, 2, 4), "px"),
    "bit rate": (coarse, (28, 36, 44), "crf"),
    "wrong person": (wrong_person, (1,), ""),
}
"""By name: what makes it, its strengths from weak to strong, and their unit."""
SOUND_ONLY = ("late sound", "wrong sound")
"""Damages that leave the pictures as they are, so that their faces need not be tracked again."""


def write(folder: Path, name: str, made: Made) -> Path:
    """A clip's video in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    sound, path = folder / f".{name}.wav", folder / f"{name}.mp4"
    write_wav(sound, made.wave)
    with VideoWriter(path, FRAME, FPS, sound, crf=made.crf) as writer:
        for frame in made.frames:
            writer.write(frame)
    sound.unlink()
    return path

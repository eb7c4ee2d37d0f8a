"""Clips of a face that does nothing but blink, at frames that are told, while its head turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moda.data.arrays import write_array
from moda.data.moments import clip_moments, write_moments
from moda.data.store import ClipStore
from moda.files import write_json
from moda.geometry import to_image
from moda.landmarks import LEFT_EYE_CONTOUR, RIGHT_EYE_CONTOUR, canonical_face
from moda.media.audio import write_wav
from moda.representation import HeadPose

CLOSURE = np.array([0.1, 0.7, 0.9, 0.8, 0.5, 0.2])
"""Share of the way that upper lids have fallen, from the first frame of a blink."""
BROW = 0.5
"""Pixels that brows fall at a blink's deepest, at the size 1."""


def mesh(size: float = 1.0) -> np.ndarray:
    """(478, 3): the canonical face, its irises in the middle of its eyes."""
    face = canonical_face().vertices
    irises = [face[[362, 263]].mean(0)] * 5 + [face[[33, 133]].mean(0)] * 5
    return size * np.concatenate([face, irises])


def blinking(frames: int, starts: Sequence[int], size: float = 1.0) -> np.ndarray:
    """Canonical landmarks (T, 478, 3) of a face that blinks from each of these frames on."""
    closure = np.zeros(frames)
    for start in starts:
        part = closure[start : start + len(CLOSURE)]
        part[:] = CLOSURE[: len(part)]
    face = np.repeat(mesh(size)[None], frames, axis=0)
    for contour in (LEFT_EYE_CONTOUR, RIGHT_EYE_CONTOUR):
        upper, lower = list(contour[1:8]), list(contour[:8:-1])
        face[:, upper] += closure[:, None, None] * (face[:, lower] - face[:, upper])
    face[:, [107, 336], 1] += closure[:, None] / CLOSURE.max() * BROW * size
    return face


def write_blinking_clip(
    store: ClipStore, clip_id: str, identity: str, frames: int, starts: Sequence[int], *, size: float = 1.0
) -> None:
    """A prepared clip of `blinking` in a store; its audio is noise."""
    folder = store.root / "clips" / clip_id
    folder.mkdir(parents=True)
    turn = 8 * np.sin(np.arange(frames) / 9)
    pose = HeadPose(
        np.stack([0 * turn, turn, 0.5 * turn], axis=1), np.full((frames, 3), 256.0), np.linspace(0.9, 1.1, frames)
    )
    landmarks, subject = to_image(blinking(frames, starts, size), pose).astype(np.float32), mesh(size)
    arrays = {
        "landmarks": landmarks,
        "tracked": np.ones(frames, bool),
        "subject": subject.astype(np.float32),
        "torso": np.zeros((frames, 18, 3), np.float32),
    }
    for name, array in (arrays | vars(pose)).items():
        write_array(folder, name, array)
    write_moments(folder, clip_moments(landmarks, pose, arrays["torso"], subject))
    write_wav(folder / "audio.wav", 0.05 * np.random.default_rng(0).standard_normal(640 * frames).astype(np.float32))
    write_json(folder / "clip.json", {"id": clip_id, "identity": identity, "frames": frames, "has_audio": True})

"""Clips in which the mouth opens with the loudness of the audio, at random but exactly in step.

The rest of the face but the eyes follows the mouth, each point in a direction of its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moda.data.arrays import write_array
from moda.data.moments import clip_moments, write_moments
from moda.data.store import ClipStore
from moda.files import write_json
from moda.landmarks import INNER_LIP_PAIRS, LIPS, N_LANDMARKS, OTHERS, canonical_face
from moda.media.audio import write_wav
from moda.representation import SAMPLE_RATE, HeadPose

HOP = SAMPLE_RATE // 100
OPENING = 8.0
"""Canonical pixels by which the loudest audio opens the mouth."""
FOLLOWING_PX = 2.0
"""Standard deviation of how far the loudest audio moves the other points, canonical pixels a coordinate."""
LOWER = sorted({pair[1] for pair in INNER_LIP_PAIRS} & set(LIPS))


def mesh() -> np.ndarray:
    """(478, 3): the canonical face, its irises where the nose is."""
    vertices = canonical_face().vertices
    return np.concatenate([vertices, np.repeat(vertices[:1], N_LANDMARKS - len(vertices), axis=0)])


def talk(frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Canonical landmarks (T, 478, 3) float32 and wave (640 T,) float32 of irregular syllables."""
    random = np.random.default_rng(seed)
    loudness = np.zeros(4 * frames)
    place = 0
    while place < len(loudness):
        length = int(random.integers(10, 35))
        part = loudness[place : place + length]
        part += (random.uniform(0.3, 1.0) * np.hanning(length))[: len(part)]
        place += length + int(random.integers(0, 20))
    noise = random.standard_normal(len(loudness) * HOP)
    wave = 0.1 * np.interp(np.arange(len(noise)) / HOP, np.arange(len(loudness)), loudness) * noise
    face = np.repeat(mesh()[None], frames, axis=0)
    opening = loudness.reshape(-1, 4).mean(1)
    face[:, LOWER, 1] += OPENING * opening[:, None]
    directions = np.random.default_rng(0).normal(0, FOLLOWING_PX, (len(OTHERS), 3))
    face[:, OTHERS] += opening[:, None, None] * directions
    face += random.normal(0, 0.1, face.shape)
    return face.astype(np.float32), wave.astype(np.float32)


def write_talking_clip(store: ClipStore, clip_id: str, frames: int, seed: int, *, late: int = 0) -> None:
    """A prepared clip of `talk` in a store, its picture `late` frames late; the head is still."""
    folder = store.root / "clips" / clip_id
    folder.mkdir(parents=True)
    face, wave = talk(frames + 2 * abs(late), seed)
    face, wave = face[abs(late) :][:frames], wave[640 * (abs(late) + late) :][: 640 * frames]
    pose = HeadPose(np.zeros((frames, 3)), np.full((frames, 3), 256.0), np.ones(frames))
    subject = mesh().astype(np.float32)
    arrays = {
        "landmarks": (face + 256).astype(np.float32),
        "tracked": np.ones(frames, bool),
        "subject": subject,
        "torso": np.zeros((frames, 18, 3), np.float32),
    }
    for name, array in (arrays | vars(pose)).items():
        write_array(folder, name, array)
    write_moments(folder, clip_moments(arrays["landmarks"], pose, arrays["torso"], subject))
    write_wav(folder / "audio.wav", wave)
    write_json(folder / "clip.json", {"id": clip_id, "identity": clip_id, "frames": frames, "has_audio": True})


def talking_store(root: Path, *, clips: int = 12, frames: int = 160) -> ClipStore:
    """A store of `clips` training clips in step and two validation clips."""
    store = ClipStore.create(root, 128)
    names = [f"talk{number}" for number in range(clips + 2)]
    for number, name in enumerate(names):
        write_talking_clip(store, name, frames, seed=number)
    store.write_splits({"train": names[:clips], "val": names[clips:]})
    return store

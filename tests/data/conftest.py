"""A clip written here, of which every value is known frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moda.data.clip import Clip, write_array
from moda.data.moments import clip_moments, write_moments
from moda.data.store import ClipStore
from moda.files import write_json
from moda.media.audio import write_wav
from moda.representation import HeadPose


def _write_clip(store: ClipStore, clip_id: str, identity: str, frames: int, *, audio: bool = True) -> Clip:
    """Canonical x of every point is its rest's plus the frame's number, the head still; the audio is a ramp."""
    folder = store.root / "clips" / clip_id
    folder.mkdir(parents=True)
    random = np.random.default_rng(frames)
    subject = random.normal(0, 50, (478, 3)).astype(np.float32)
    landmarks = np.repeat(subject[None], frames, axis=0)
    landmarks[:, :, 0] += np.arange(frames, dtype=np.float32)[:, None]
    pose = HeadPose(np.zeros((frames, 3)), np.zeros((frames, 3)), np.ones(frames))
    return _store(folder, identity, landmarks, np.arange(frames) % 10 != 9, pose, subject, audio=audio)


def _moving_clip(store: ClipStore, clip_id: str, frames: int) -> Clip:
    """Everything moves at random, head and shoulders far from rest."""
    folder = store.root / "clips" / clip_id
    folder.mkdir(parents=True)
    random = np.random.default_rng(frames)
    subject = random.normal(0, 50, (478, 3)).astype(np.float32)
    landmarks = (subject + random.normal(200, 9, (frames, 478, 3))).astype(np.float32)
    pose = HeadPose(
        random.normal(5, 10, (frames, 3)), random.normal(250, 9, (frames, 3)), random.uniform(0.9, 1.1, frames)
    )
    return _store(folder, clip_id, landmarks, np.ones(frames, bool), pose, subject, audio=True)


def _store(
    folder: Path,
    identity: str,
    landmarks: np.ndarray,
    tracked: np.ndarray,
    pose: HeadPose,
    subject: np.ndarray,
    *,
    audio: bool,
) -> Clip:
    frames = len(landmarks)
    torso = np.random.default_rng(0).normal(300, 5, (frames, 18, 3)).astype(np.float32)
    arrays = {"landmarks": landmarks, "tracked": tracked, "subject": subject, "torso": torso}
    for name, array in (arrays | vars(pose)).items():
        write_array(folder, name, array)
    write_moments(folder, clip_moments(landmarks, pose, torso, subject))
    if audio:
        write_wav(folder / "audio.wav", np.linspace(0, 0.9, frames * 640, dtype=np.float32))
    write_json(folder / "clip.json", {"id": folder.name, "identity": identity, "frames": frames, "has_audio": audio})
    return Clip.open(folder)


@pytest.fixture(scope="session")
def write_known_clip() -> Callable[..., Clip]:
    """write_known_clip(store, id, identity, frames, audio=True) -> Clip."""
    return _write_clip


@pytest.fixture(scope="session")
def write_moving_clip() -> Callable[..., Clip]:
    """write_moving_clip(store, id, frames) -> Clip."""
    return _moving_clip

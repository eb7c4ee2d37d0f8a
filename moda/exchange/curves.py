"""A motion's blendshape curves: stage 2 makes the whole face of lips and eyes, MediaPipe's network reads it."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
import torch

from moda.networks import FaceNetwork
from moda.reading import read_arrays
from moda.representation import Motion
from moda.tracking.blendshapes import NAMES, blendshapes

CHUNK_FRAMES = 300


@lru_cache(maxsize=1)
def average_face() -> np.ndarray:
    """The mean mesh at rest of 86 people, (478, 3) pixels: for motion without a portrait."""
    file = resources.files("moda") / "package_data" / "average_face.npz"
    with resources.as_file(file) as path:
        return read_arrays(path, ["subject"])["subject"]


@torch.inference_mode()
def face_curves(motion: Motion, faco: FaceNetwork, subject: np.ndarray) -> np.ndarray:
    """Blendshape coefficients (T, 52) of a motion on a subject's mesh (478, 3), by a stage 2 on the CPU."""
    mesh = torch.from_numpy(np.asarray(subject, np.float32))[None]
    parts = []
    for start in range(0, len(motion), CHUNK_FRAMES):
        part = slice(start, start + CHUNK_FRAMES)
        lips, eyes = (torch.from_numpy(np.asarray(a[part], np.float32))[None] for a in (motion.lips, motion.eyes))
        parts.append(blendshapes(subject + faco(lips, eyes, mesh)[0].float().numpy()))
    return np.concatenate(parts) if parts else np.zeros((0, len(NAMES)), np.float32)

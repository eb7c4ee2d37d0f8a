from collections.abc import Callable

import numpy as np
import pytest

from moda.geometry import to_image
from moda.landmarks import INNER_LIP_PAIRS, N_MESH, canonical_face
from moda.metrics import FaceTrack
from moda.representation import HeadPose

MakeFace = Callable[..., FaceTrack]


@pytest.fixture
def make_face() -> MakeFace:
    """make_face(opening (T,), moving=False) -> FaceTrack: the canonical face with that lip opening, in pixels.

    Upper and lower inner lips of each pair share their x and z, so the opening is exact. `moving`
    turns, shifts and scales the head over time.
    """

    def make(opening: np.ndarray, moving: bool = False) -> FaceTrack:
        frames = len(opening)
        mesh = np.zeros((478, 3))
        mesh[:N_MESH] = canonical_face().vertices
        mesh[N_MESH:473], mesh[473:] = mesh[133], mesh[362]
        canonical = np.repeat(mesh[None], frames, axis=0)
        for upper, lower in INNER_LIP_PAIRS:
            canonical[:, lower] = canonical[:, upper]
            canonical[:, lower, 1] += opening
        time = np.arange(frames) * moving
        rotation = np.stack([5 * np.sin(time / 9), 8 * np.sin(time / 13), 4 * np.sin(time / 11)], axis=1)
        translation = np.stack([256 + 10 * np.sin(time / 10), 240 + 6 * np.sin(time / 7), 0 * time], axis=1)
        return FaceTrack(to_image(canonical, HeadPose(rotation, translation, 1 + 0.05 * np.sin(time / 8))))

    return make


@pytest.fixture
def opening() -> np.ndarray:
    """(100,) a lip opening that repeats nowhere within a second, pixels."""
    generator = np.random.default_rng(3)
    smooth = np.convolve(generator.normal(size=104), np.ones(5) / 5, mode="valid")
    return 12 + 8 * smooth

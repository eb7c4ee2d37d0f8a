"""Perceptual distance of pictures: LPIPS's form without its learned weights, by its own name."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moda.metrics.registry import ClipPair, NotAvailable, Value, metric, not_asked
from moda.metrics.scripted import named

if TYPE_CHECKING:
    from moda.nn.perceptual import PictureFeatures

SIDE_PX, FRAME_STEP = 256, 10
"""Side of the pictures, and every how many frames they are compared."""
EPSILON = 1e-10
"""Added to lengths, as LPIPS does."""


@metric(
    name="perceptual", label="perceptual distance", unit="1", better="lower", digits=3,
    source="form of LPIPS (Zhang et al. 2018, equation 1) with equal weights",
    needs=("tracks", "frame", "pictures"), variant=lambda settings: named(settings.perceptual_weights, "network"),
)  # fmt: skip
def perceptual_distance(clip: ClipPair) -> Value:
    """Squared difference of a network's maps (VGG19, VGG16 or SqueezeNet; `moda.nn.perceptual`) of generated and true
    frame, each normalised over channels, mean over places and sum over layers; mean over every 10th frame of the
    square frame at 256 px. Not LPIPS, whose weights are learned. Means something only where the head moves as the
    true one.
    """
    path = clip.settings.perceptual_weights
    if path is None:
        return not_asked("--perceptual-weights FILE")
    pictures = clip.pictures
    assert not isinstance(pictures, NotAvailable)  # they are needed, so they are there
    network = _network(path)
    pairs = zip(pictures.true(1, SIDE_PX), pictures.generated(1, SIDE_PX), strict=False)
    distances = [distance(network, true, generated) for true, generated in islice(pairs, 0, None, FRAME_STEP)]
    return float(np.mean(distances)) if distances else NotAvailable("no frames")


def distance(network: PictureFeatures, true: np.ndarray, generated: np.ndarray) -> float:
    """Distance of two RGB pictures (H, W, 3) uint8; 0 for equal ones."""
    import torch

    both = torch.from_numpy(np.stack([true, generated])).permute(0, 3, 1, 2).float() / 127.5 - 1
    total = 0.0
    with torch.inference_mode():
        for maps in network(both):
            one, two = maps / (maps.norm(dim=1, keepdim=True) + EPSILON)
            total += float(((one - two) ** 2).sum(dim=0).mean())
    return total


@lru_cache(maxsize=1)
def _network(path: Path) -> PictureFeatures:
    from moda.nn.perceptual import load_features

    network = load_features(path)
    assert network is not None  # a path that cannot be used raises
    return network

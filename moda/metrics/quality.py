"""THEval's three scores of picture quality, by pyiqa (an extra; its licence is PolyForm Noncommercial).

The package, its networks and their weights are the user's: a folder of weights is named, and without it, or without
the package, the scores are not available. Dimension letters: H W height and width of a picture.
"""

from __future__ import annotations

import importlib.metadata
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from moda.errors import CheckpointError, ConfigError
from moda.landmarks import LIPS
from moda.metrics.registry import ClipPair, MetricSettings, NotAvailable, Value, metric, not_asked
from moda.metrics.theval import SOURCE
from moda.metrics.weights import digest
from moda.representation import FRAME

FRAME_STEP = 10
"""Every so many frames one is scored; THEval scores all."""
MOUTH_MARGIN_PX = 10
"""Pixels around the lips, as THEval's crop has."""
WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")
NO_WEIGHTS = not_asked("--quality-weights DIR, pyiqa's (noncommercial licence)")


def quality_networks(settings: MetricSettings) -> str:
    """Which package and weights score, for the header."""
    if settings.quality_weights is None:
        return "pyiqa, not given"
    try:
        version = importlib.metadata.version("pyiqa")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    return f"pyiqa {version}, weights {' '.join(digest(path) for path in _weights(settings.quality_weights))}"


@metric(
    name="theval_aesthetics", label="aesthetics", unit="1..10", better="truth", source=SOURCE,
    needs=("tracks", "pictures"), variant=quality_networks,
)  # fmt: skip
def global_aesthetics(clip: ClipPair) -> Value:
    """TOPIQ-IAA of the generated square frame in the video's own pixels, at most 512; mean over every 10th frame."""
    return _mean(clip, "topiq_iaa", mouth=False)


@metric(
    name="theval_mouth_quality", label="mouth quality", unit="0..100", better="truth", source=SOURCE,
    needs=("tracks", "pictures"), variant=quality_networks,
)  # fmt: skip
def mouth_quality(clip: ClipPair) -> Value:
    """MUSIQ of the box around the 40 lip landmarks and 10 px more on each side; mean over every 10th frame. THEval
    fills the boxes of 64 frames up to one size with black, which MUSIQ sees too; here each is scored as it is.
    """
    return _mean(clip, "musiq", mouth=True)


@metric(
    name="theval_face_quality", label="face quality", unit="0..1", better="truth", digits=3, source=SOURCE,
    needs=("tracks", "pictures"), variant=quality_networks,
)  # fmt: skip
def face_quality(clip: ClipPair) -> Value:
    """TOPIQ-face of the generated square frame in the video's own pixels, at most 512; mean over every 10th frame."""
    return _mean(clip, "topiq_nr-face", mouth=False)


def _mean(clip: ClipPair, name: str, *, mouth: bool) -> Value:
    if clip.settings.quality_weights is None:
        return NO_WEIGHTS
    pictures, face = clip.pictures, clip.tracks.generated
    assert not isinstance(pictures, NotAvailable)  # they are needed, so they are there
    side = min(pictures.source_side[1], FRAME)
    scores = []
    for index, picture in enumerate(pictures.generated(FRAME_STEP, side)):
        frame = index * FRAME_STEP
        if not face.tracked[frame]:
            continue
        region = mouth_region(picture, face.landmarks[frame] * (side / FRAME)) if mouth else picture
        scores.append(_score(name, clip.settings.quality_weights, region))
    return float(np.mean(scores)) if scores else NotAvailable("no frame with a face")


def mouth_region(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The part (h, w, 3) of a picture (H, W, 3) around its lips; landmarks (478, D) in its pixels."""
    lips = landmarks[list(LIPS), :2].astype(int)
    left, top = np.maximum(lips.min(axis=0) - MOUTH_MARGIN_PX, 0)
    right, bottom = np.minimum(lips.max(axis=0) + MOUTH_MARGIN_PX, picture.shape[1::-1])
    return picture[top:bottom, left:right]


def _score(name: str, folder: Path, picture: np.ndarray) -> float:
    import torch

    network = _network(name, folder)
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        return float(network(tensor))


@lru_cache(maxsize=3)
def _network(name: str, folder: Path) -> Any:
    try:
        import pyiqa
    except ImportError as error:
        raise ConfigError(
            "pyiqa is not installed: pip install 'moda[quality]' (its licence, PolyForm Noncommercial, is its own)"
        ) from error
    import torch

    _weights(folder)
    torch.hub.set_dir(str(folder))
    try:
        return pyiqa.create_metric(name, device="cpu")
    except Exception as error:  # of the package, its fetching and its networks
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"pyiqa cannot load {name} from {folder}: {first}") from error


def _weights(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES) if folder.is_dir() else []
    if not found:
        raise CheckpointError(f"no weights of pyiqa in {folder}: wanted a folder with what it keeps in torch.hub's")
    return found

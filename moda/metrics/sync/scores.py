"""The metrics Sync-C, Sync-D, offset and Sync-C0, by SyncNet or by the landmark network; the column names which.

Both compare the generated face with the audio that drives it; the true face plays no part.
"""

from __future__ import annotations

import weakref
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from moda.locations import SYNC_NETWORK, shipped
from moda.metrics.registry import NO_AUDIO, ClipPair, MetricSettings, NotAvailable, Value, metric
from moda.metrics.weights import digest

if TYPE_CHECKING:  # they load torch, which reading a configuration does not need
    from moda.metrics.sync.curve import SyncScore
    from moda.metrics.sync.landmark_scorer import LandmarkSyncScorer
    from moda.metrics.sync.syncnet_scorer import SyncNetScorer

SHIPPED = shipped(SYNC_NETWORK)
SOURCE = "docs/method.md, section 6; Chung and Zisserman 2016, protocol of github.com/joonson/syncnet_python"


def sync_network(settings: MetricSettings) -> str:
    """Which network scores, for the header: its kind, and the start of its file's SHA-256."""
    if settings.sync_weights is None:
        return (
            f"landmark network of this project, {SHIPPED.name} {digest(SHIPPED)}, learned from clips from which the "
            "checkpoints that ship learned too: it may score these above the truth"
        )
    return f"SyncNet, {settings.sync_weights.name} {digest(settings.sync_weights)}"


@metric(
    name="sync_c", label="Sync-C", unit="distance", better="higher", source=SOURCE,
    needs=("tracks", "audio"), variant=sync_network,
)  # fmt: skip
def sync_confidence(clip: ClipPair) -> Value:
    """Median minus minimum of the mean distance between embeddings of face and audio over offsets of -15 to 15
    frames (LSE-C). It looks for the offset itself, so a constant delay within 15 frames costs nothing: see Sync-C0.
    """
    score = _score(clip)
    return score if isinstance(score, NotAvailable) else score.confidence


@metric(
    name="sync_d", label="Sync-D", unit="distance", better="lower", source=SOURCE,
    needs=("tracks", "audio"), variant=sync_network,
)  # fmt: skip
def sync_distance(clip: ClipPair) -> Value:
    """Minimum of that mean distance over the same offsets (LSE-D)."""
    score = _score(clip)
    return score if isinstance(score, NotAvailable) else score.distance


@metric(
    name="sync_offset", label="Sync offset", unit="frames", better="zero", digits=1, source=SOURCE,
    needs=("tracks", "audio"), variant=sync_network,
)  # fmt: skip
def sync_offset(clip: ClipPair) -> Value:
    """The offset of that minimum, 25 frames a second; positive means the picture comes late."""
    score = _score(clip)
    return score if isinstance(score, NotAvailable) else float(score.offset)


@metric(
    name="sync_c0", label="Sync-C0", unit="distance", better="higher",
    source="ours: Sync-C that does not look for the offset",
    needs=("tracks", "audio"), variant=sync_network,
)  # fmt: skip
def sync_in_step(clip: ClipPair) -> Value:
    """Median over the same offsets minus the least mean distance at offsets of -1 to 1 frame: confidence that face
    and audio are in step as they are. About 0 or below for a clip that is out of step.
    """
    score = _score(clip)
    return score if isinstance(score, NotAvailable) else score.in_step


def sync_score(clip: ClipPair) -> SyncScore | NotAvailable:
    """All scores of a clip's generated face, by the network that its settings name.

    Raises `CheckpointError` if that network cannot be loaded.
    """
    if clip.wave is None:
        return NO_AUDIO
    face = clip.tracks.generated
    if clip.settings.sync_weights is None:
        return _landmark_scorer().score(face.canonical, face.tracked, clip.wave)
    if isinstance(clip.pictures, NotAvailable):
        return clip.pictures
    scorer = _syncnet_scorer(clip.settings.sync_weights)
    side = clip.pictures.source_side[1]
    return scorer.score(clip.pictures.generated(), face.landmarks, clip.wave, side)


class _Last:
    """The clip that was scored last, and its score: four columns share it."""

    scored: tuple[weakref.ReferenceType[ClipPair], SyncScore | NotAvailable] | None = None


def _score(clip: ClipPair) -> SyncScore | NotAvailable:
    last = _Last.scored
    if last is not None and last[0]() is clip:
        return last[1]
    score = sync_score(clip)
    _Last.scored = weakref.ref(clip), score
    return score


@lru_cache(maxsize=1)
def _landmark_scorer() -> LandmarkSyncScorer:
    from moda.metrics.sync.landmark_scorer import LandmarkSyncScorer

    return LandmarkSyncScorer()


@lru_cache(maxsize=1)
def _syncnet_scorer(path: Path) -> SyncNetScorer:
    from moda.metrics.sync.syncnet_scorer import SyncNetScorer

    return SyncNetScorer(path)

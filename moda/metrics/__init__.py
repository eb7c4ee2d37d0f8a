"""Scores of generated videos against true ones, with controls. Importing this registers the metrics."""

from moda.metrics.clip_pair import ClipPair, MetricSettings
from moda.metrics.pictures import PicturePair
from moda.metrics.registry import METRICS, Metric, NotAvailable, Value, metric
from moda.metrics.tracks import FaceTrack, PairedTracks, VideoTrack

# The order of these imports is that of the columns.
from moda.metrics import landmark  # isort: skip
from moda.metrics import niqe, temporal, image, seam, motion  # isort: skip
from moda.metrics import samples, generation  # isort: skip
from moda.metrics.sync import scores as sync

__all__ = [
    "METRICS",
    "ClipPair",
    "FaceTrack",
    "Metric",
    "MetricSettings",
    "NotAvailable",
    "PairedTracks",
    "PicturePair",
    "Value",
    "VideoTrack",
    "generation",
    "image",
    "landmark",
    "metric",
    "motion",
    "niqe",
    "samples",
    "seam",
    "sync",
    "temporal",
]

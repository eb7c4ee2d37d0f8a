"""Scores of generated videos against true ones, with controls. Importing this registers the metrics."""

from moda.metrics import landmark
from moda.metrics.registry import METRICS, Metric, NotAvailable, metric
from moda.metrics.tracks import FaceTrack, PairedTracks, VideoTrack

__all__ = ["METRICS", "FaceTrack", "Metric", "NotAvailable", "PairedTracks", "VideoTrack", "landmark", "metric"]

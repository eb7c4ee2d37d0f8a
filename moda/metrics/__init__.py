"""Scores of generated videos against true ones.

To add a metric: write one function of a `ClipPair` in the file that fits, or in a new file that is imported below,
and decorate it with `@metric(...)` (`moda.metrics.registry`). It returns a number, or `NotAvailable(why)`. The first
paragraph of its docstring is the definition that reports print. Tables, intervals and comparisons then include it;
which table shows it is in `moda/evaluation/report/cells.py` (GROUPS), the last one by default.
"""

from moda.metrics.over_clips import SET_METRICS, ClipSet, SetMetric
from moda.metrics.pictures import PicturePair
from moda.metrics.registry import METRICS, ClipPair, Metric, MetricSettings, NotAvailable, Value, metric
from moda.metrics.tracks import FaceTrack, PairedTracks, VideoTrack

# The order of these imports is that of the columns.
from moda.metrics import landmark  # isort: skip
from moda.metrics import niqe, temporal, image, seam, motion, lips_closed  # isort: skip
from moda.metrics import keypoints, soft_dtw, identity, perceptual, lip_reader, lip_leak, beats  # isort: skip
from moda.metrics import theval, quality  # isort: skip
from moda.metrics.sync import scores as sync  # isort: skip
from moda.metrics import diversity, generation  # isort: skip
from moda.metrics import theval_total, frechet  # isort: skip

__all__ = [
    "METRICS",
    "SET_METRICS",
    "ClipPair",
    "ClipSet",
    "FaceTrack",
    "Metric",
    "MetricSettings",
    "NotAvailable",
    "PairedTracks",
    "PicturePair",
    "SetMetric",
    "Value",
    "VideoTrack",
    "beats",
    "diversity",
    "frechet",
    "generation",
    "identity",
    "image",
    "keypoints",
    "landmark",
    "lip_leak",
    "lip_reader",
    "lips_closed",
    "metric",
    "motion",
    "niqe",
    "perceptual",
    "quality",
    "seam",
    "soft_dtw",
    "sync",
    "temporal",
    "theval",
    "theval_total",
]

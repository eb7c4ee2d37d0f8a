"""Scores of generated videos against true ones.

To add a metric: write one function of a `ClipPair` in the file that fits, or in a new file that is imported below,
and decorate it with `@metric(...)` (`moda.metrics.registry`). It returns a number, or `NotAvailable(why)`. The first
paragraph of its docstring is the definition that reports print. Tables, intervals and comparisons then include it;
which table shows it is in `moda/evaluation/report/cells.py` (GROUPS), the last one by default.
"""

from moda.metrics.over_clips import SET_METRICS, ClipSet, SetMetric  # noqa: F401
from moda.metrics.pictures import PicturePair  # noqa: F401
from moda.metrics.registry import METRICS, ClipPair, Metric, MetricSettings, NotAvailable, Value, metric  # noqa: F401
from moda.metrics.tracks import FaceTrack, PairedTracks, VideoTrack  # noqa: F401

# The order of these imports is that of the columns.
from moda.metrics import landmark  # noqa: F401  # isort: skip
from moda.metrics import niqe, temporal, image, seam, motion, lips_closed  # noqa: F401  # isort: skip
from moda.metrics import keypoints, soft_dtw, identity, perceptual, lip_reader, lip_leak, beats  # noqa: F401  # isort: skip
from moda.metrics import theval, quality  # noqa: F401  # isort: skip
from moda.metrics.sync import scores as sync  # noqa: F401  # isort: skip
from moda.metrics import diversity, generation  # noqa: F401  # isort: skip
from moda.metrics import theval_total, frechet  # noqa: F401  # isort: skip

"""Scores of whole rows (`moda.metrics.over_clips`) beside the ground truth's row, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from moda.evaluation.results import TRUTH_ROW, Interval, MethodScores, SetScore
from moda.evaluation.statistics import LEVEL, MIN_CLIPS, SEED
from moda.metrics.over_clips import ClipSet, SetMetric
from moda.metrics.registry import MetricSettings, NotAvailable
from moda.metrics.samples import SAMPLERS

DRAWS = 1000
"""Draws of clips for an interval."""


def score_rows(rows: Sequence[MethodScores], metrics: Iterable[SetMetric], settings: MetricSettings) -> None:
    """Fill `overall` of each row."""
    truth = next(row for row in rows if row.name == TRUTH_ROW)
    for row in rows:
        clips = clip_set(row, truth, settings)
        row.overall.update({metric.name: _score(metric, clips) for metric in metrics})


def clip_set(row: MethodScores, truth: MethodScores, settings: MetricSettings) -> ClipSet:
    """The clips that a row and the truth's row both have."""
    clips = tuple(clip for clip in row.scores if clip in truth.scores)
    names = sorted({name for clip in clips for name in truth.scores[clip].values})
    values, true_values = (
        {name: np.array([found.get(clip, np.nan) for clip in clips]) for name, found in by_metric.items()}
        for by_metric in ({name: each.by_clip(name) for name in names} for each in (row, truth))
    )
    samples, true_samples = (
        {
            name: {clip: each.scores[clip].samples[name] for clip in clips if name in each.scores[clip].samples}
            for name in SAMPLERS
        }
        for each in (row, truth)
    )
    return ClipSet(clips, values, true_values, settings, samples, true_samples)


def _score(metric: SetMetric, clips: ClipSet) -> SetScore:
    found = metric.measure(clips, clips.whole())
    if isinstance(found, NotAvailable):
        return SetScore(found, None, len(clips.clips))
    interval = None
    if metric.drawn and len(clips.clips) >= MIN_CLIPS:
        generator = np.random.default_rng(SEED)
        drawn = metric.measure(clips, generator.integers(len(clips.clips), size=(DRAWS, len(clips.clips))))
        if not isinstance(drawn, NotAvailable):
            tail = 50 * (1 - LEVEL)
            interval = Interval(*(float(end) for end in np.percentile(drawn, [tail, 100 - tail])))
    return SetScore(float(found[0]), interval, len(clips.clips))

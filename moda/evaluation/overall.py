"""Scores of whole rows (`moda.metrics.over_clips`) beside the ground truth's row, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np

from moda.evaluation.results import TRUTH_ROW, Interval, MethodScores, SetScore
from moda.evaluation.statistics import LEVEL, MIN_CLIPS, SEED
from moda.metrics.over_clips import ClipSet, SetMetric
from moda.metrics.registry import MetricSettings, NotAvailable
from moda.metrics.samples import SAMPLERS

DRAWS = 1000
"""Draws of clips for an interval."""
MAX_DRAWN_CLIPS = 1_000_000
"""Clips of several draws that are in memory at once."""


def score_rows(
    rows: Sequence[MethodScores], metrics: Iterable[SetMetric], settings: MetricSettings, cache: Path
) -> None:
    """Fill `overall` of each row. cache: folder of cached scores, with the rows of samplers."""
    truth = next(row for row in rows if row.name == TRUTH_ROW)
    for row in rows:
        clips = clip_set(row, truth, settings, cache)
        row.overall.update({metric.name: _score(metric, clips) for metric in metrics})


def clip_set(row: MethodScores, truth: MethodScores, settings: MetricSettings, cache: Path) -> ClipSet:
    """The clips that a row and the truth's row both have."""
    clips = tuple(clip for clip in row.scores if clip in truth.scores)
    names = sorted({name for clip in clips for name in truth.scores[clip].values})
    sampled = [name for name in SAMPLERS if all(name in truth.scores[clip].samples for clip in clips)]
    values, true_values = (
        {name: np.fromiter(map(each.by_clip(name).get, clips, repeat(np.nan)), float) for name in names}
        for each in (row, truth)
    )
    samples, true_samples = (
        {name: {clip: _place(found[clip].samples[name], cache) for clip in clips} for name in sampled}
        for found in (row.scores, truth.scores)
    )
    return ClipSet(clips, values, true_values, settings, samples, true_samples)


def _place(sample: str | NotAvailable, cache: Path) -> Path | NotAvailable:
    return sample if isinstance(sample, NotAvailable) else cache / sample


def _draws(clips: int) -> Iterator[np.ndarray]:
    """`DRAWS` draws (R, C) of so many clips, as many at a time as memory should hold."""
    generator = np.random.default_rng(SEED)
    at_once = max(1, MAX_DRAWN_CLIPS // clips)
    for first in range(0, DRAWS, at_once):
        yield generator.integers(clips, size=(min(at_once, DRAWS - first), clips))


def _score(metric: SetMetric, clips: ClipSet) -> SetScore:
    found = metric.measure(clips, clips.whole())
    if isinstance(found, NotAvailable):
        return SetScore(found, None, len(clips.clips))
    interval = None
    if metric.drawn and len(clips.clips) >= MIN_CLIPS:
        drawn = [metric.measure(clips, draws) for draws in _draws(len(clips.clips))]
        values = [found for found in drawn if not isinstance(found, NotAvailable)]
        if len(values) == len(drawn):
            tail = 50 * (1 - LEVEL)
            interval = Interval(*(float(end) for end in np.percentile(np.concatenate(values), [tail, 100 - tail])))
    return SetScore(float(found[0]), interval, len(clips.clips))

"""THEval's total: how near a row's scores come to the truth's, over its eight scores or the five of motion."""

from __future__ import annotations

import numpy as np

from moda.metrics.over_clips import ClipSet, set_metric
from moda.metrics.registry import METRICS, NotAvailable
from moda.metrics.theval import SOURCE

MOTION = ("theval_lips", "theval_brows", "theval_head", "theval_silence", "theval_sync")
QUALITY = ("theval_aesthetics", "theval_mouth_quality", "theval_face_quality")
MIN_TRUE_VALUE = 1e-9
"""Least true value, of either sign, that another can be a share of."""


@set_metric(
    name="theval_5", label="THEval, 5 of motion", unit="1", better="higher", digits=3, source=SOURCE, drawn=True
)
def theval_motion(clips: ClipSet, draws: np.ndarray) -> np.ndarray | NotAvailable:
    """Mean of 1 - |x - truth| / |truth| over THEval's five scores of motion, x and truth each the mean over the clips
    that both have; 1 for the truth, below 0 for what is far off. THEval's own total has its three scores of picture
    quality too and is another number. A score that the truth's clips do not have, as without silences, is left out.
    """
    return _total(clips, draws, MOTION)


@set_metric(name="theval_8", label="THEval", unit="1", better="higher", digits=3, source=SOURCE, drawn=True)
def theval(clips: ClipSet, draws: np.ndarray) -> np.ndarray | NotAvailable:
    """THEval's total: the same mean over all eight scores. Only where all are computed."""
    missing = [METRICS[name].label for name in (*MOTION, *QUALITY) if name not in _known(clips, (*MOTION, *QUALITY))]
    if missing:
        return NotAvailable(f"not all eight scores: {', '.join(missing)} missing")
    return _total(clips, draws, (*MOTION, *QUALITY))


def _known(clips: ClipSet, names: tuple[str, ...]) -> list[str]:
    """Those of the scores that the truth has."""
    return [n for n in names if n in clips.true_values and np.isfinite(clips.true_values[n]).any()]


def _total(clips: ClipSet, draws: np.ndarray, names: tuple[str, ...]) -> np.ndarray | NotAvailable:
    known = _known(clips, names)
    if not known:
        return NotAvailable("none of its scores is computed")
    closeness = []
    for name in known:
        true, value = clips.true_values[name], clips.values[name]
        both = np.isfinite(true) & np.isfinite(value)
        if not both.any():
            return NotAvailable(f"no value of {METRICS[name].label}")
        # A draw without a single clip that has the score takes the mean of all of them.
        count = both[draws].sum(axis=1)
        truth, made = (
            np.where(
                count > 0,
                np.where(both, values, 0.0)[draws].sum(axis=1) / np.maximum(count, 1),
                values[both].mean(),
            )
            for values in (true, value)
        )
        if (np.abs(truth) < MIN_TRUE_VALUE).any():
            return NotAvailable(f"the truth's {METRICS[name].label} is 0")
        closeness.append(1 - np.abs(made - truth) / np.abs(truth))
    return np.asarray(np.mean(closeness, axis=0))

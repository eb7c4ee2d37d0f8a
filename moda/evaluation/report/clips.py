"""The part of report.html that shows clips: frames side by side, lip-opening curves, notes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from moda.evaluation.report.strips import moments_of
from moda.evaluation.results import ClipScore, Evaluation, MethodScores
from moda.printing import html_text as escape
from moda.representation import FPS

GROUND_TRUTH_ROW = "ground truth"
CURVE_HEIGHT = 100.0
"""Of a curve's picture, in its own units; its width is the number of frames."""
MAX_CURVE_POINTS = 900
"""Points of a curve; of longer clips every n-th frame is drawn."""
CLIP_METRICS = ("lmd_aligned", "lip_corr_best", "lip_lag", "opening_ratio", "sync_c")
"""Values printed beside a clip's frames."""


def clip_sections(evaluation: Evaluation) -> str:
    """A section for every clip that any row has something to say of."""
    truth = next((row for row in evaluation.rows if row.name == GROUND_TRUTH_ROW), None)
    return "".join(_section(clip, evaluation, truth) for clip in evaluation.clips)


def _section(clip: str, evaluation: Evaluation, truth: MethodScores | None) -> str:
    methods = [row for row in evaluation.rows if not row.control]
    true = None if truth is None else truth.scores.get(clip)
    top = _top([row.scores[clip] for row in methods if clip in row.scores] + ([true] if true else []))
    parts = [] if true is None else [_row("truth", f"{true.frames} frames, {true.frames / FPS:.1f} s", true, None, top)]
    for row in methods:
        score = row.scores.get(clip)
        if score is not None:
            parts.append(_row(row.name, _values(evaluation, score), score, true, top))
    lines = [
        f"<li>{escape(row.name)}: {escape(note)}</li>"
        for row in evaluation.rows
        if clip in row.scores
        for note in row.scores[clip].notes
    ]
    refusals: dict[str, list[str]] = {}
    for row in evaluation.rows:
        if clip in row.refused:
            refusals.setdefault(row.refused[clip], []).append(row.name)
    lines += [
        f'<li class="worse">not scored: {escape(", ".join(names))}: {escape(why)}</li>'
        for why, names in refusals.items()
    ]
    notes = f"<ul>{''.join(lines)}</ul>" if lines else ""
    return f'<section class="clip"><h3>{escape(clip)}</h3>{"".join(parts)}{notes}</section>'


def _values(evaluation: Evaluation, score: ClipScore) -> str:
    shown = []
    for name in CLIP_METRICS:
        value = score.values.get(name)
        metric = evaluation.metrics.get(name)
        if metric is not None and isinstance(value, float):
            shown.append(f"{metric.label} {value:.{metric.digits}f}")
    return "\n".join(shown)


def _row(name: str, words: str, score: ClipScore, true: ClipScore | None, top: float) -> str:
    smalls = "".join(f"<small>{escape(line)}</small>" for line in words.split("\n") if line)
    strip = (
        '<div class="strip bare">no frames</div>'
        if score.strip is None
        else f'<img class="strip" loading="lazy" src="{escape(score.strip)}" alt="frames of {escape(name)}">'
    )
    return (
        f'<div class="row"><div><b>{escape(name)}</b>{smalls}</div><div>{strip}</div>'
        f"<div>{_curves(score, true, top)}</div></div>"
    )


def _curves(score: ClipScore, true: ClipScore | None, top: float) -> str:
    if score.opening is None:
        return ""
    reference = score if true is None else true
    frames = max(len(score.opening), 0 if reference.opening is None else len(reference.opening), 2)
    paths = ""
    if reference.opening is not None:
        ticks = "".join(f"M{moment} 0V{CURVE_HEIGHT:g}" for moment in moments_of(reference.opening))
        paths = f'<path class="tick" d="{ticks}"/><path class="truth" d="{curve(reference.opening, top)}"/>'
    if true is not None:
        paths += f'<path class="made" d="{curve(score.opening, top)}"/>'
    return (
        f'<svg viewBox="0 0 {frames - 1} {CURVE_HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="lip opening over {frames / FPS:.1f} s">{paths}</svg>'
    )


def curve(opening: np.ndarray, top: float) -> str:
    """An SVG path of (T,) lip openings, 0 at the bottom and `top` pixels at the top; gaps where there is no face."""
    step = max(1, math.ceil(len(opening) / MAX_CURVE_POINTS))
    kept = range(0, len(opening), step)
    pieces, pen = [], "M"
    for frame in kept:
        value = float(opening[frame])
        if math.isfinite(value):
            height = CURVE_HEIGHT * (1 - min(max(value / top, 0.0), 1.0))
            pieces.append(f"{pen}{frame} {height:.1f}")
        pen = "L" if math.isfinite(value) else "M"
    return "".join(pieces)


def _top(scores: Sequence[ClipScore]) -> float:
    values = [score.opening for score in scores if score.opening is not None and np.isfinite(score.opening).any()]
    return max([1.0, *(1.05 * float(np.nanmax(opening)) for opening in values)])

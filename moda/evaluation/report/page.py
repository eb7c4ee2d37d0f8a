"""report.html, the tables and the worst clips of all methods, and a page for each method, without server or network.

Pictures are files beside them, loaded when they come into view. The pages are page.html.j2 and method.html.j2; curves
are SVG paths in them, since those of all clips together are smaller than one picture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from moda.evaluation.report import cells
from moda.evaluation.report.printed import MARK, PrintedTable
from moda.evaluation.report.strips import moments_of
from moda.evaluation.results import TRUTH_ROW, ClipScore, Evaluation, MethodScores
from moda.evaluation.statistics import BASELINE_CONTROL, MIN_CLIPS, compare_rows
from moda.evaluation.tracking import tracker_version
from moda.printing import render_page
from moda.representation import FPS, FRAME

PAGES_FOLDER = "methods"
"""Folder of the methods' pages, inside the output folder."""
MAX_CLIPS, MAX_METHOD_CLIPS = 20, 100
"""Clips that are shown on report.html and on a method's page: the worst."""
CURVE_HEIGHT = 100
"""Height of a curve's picture, in its own units; its width is the number of frames."""
MAX_CURVE_POINTS = 900
"""Points of a curve; of longer clips every n-th frame is drawn."""
CLIP_METRICS = ("lmd_aligned", "lip_corr_best", "lip_lag", "opening_ratio", "sync_c")
"""Values printed beside a clip's frames."""
WORST_BY = ("lmd_aligned", "lmd_v_aligned", "lmd")
"""Metrics, lower is better, of which the first that was scored puts the clips in order."""


@dataclass(frozen=True)
class ClipRow:
    """One row of a clip. lines: printed under its name. truth: the true clip where it is drawn too."""

    name: str
    score: ClipScore
    truth: ClipScore | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ClipSection:
    """One clip. top: lip opening at the top of its curves. notes: row and note. refusals: rows by reason."""

    name: str
    rows: tuple[ClipRow, ...]
    top: float
    notes: tuple[tuple[str, str], ...]
    refusals: Mapping[str, list[str]]


def method_pages(evaluation: Evaluation) -> dict[str, str]:
    """The file of each method's page, by row; two names never share one."""
    return {
        row.name: f"{number}-{re.sub(r'[^A-Za-z0-9.-]+', '-', row.name).strip('-.').lower()[:60]}.html"
        for number, row in enumerate(evaluation.methods, start=1)
    }


def page_text(evaluation: Evaluation, printed: PrintedTable | None = None) -> str:
    """The whole of report.html; the same evaluation gives the same bytes."""
    remarks, refused, missing = cells.listed(evaluation)
    groups = cells.groups(evaluation)
    return render_page(
        Path(__file__).parent,
        title="Scores",
        groups=groups,
        best={metric.name: cells.best(evaluation, metric) for _, group in groups for metric in group},
        pages={row: f"{PAGES_FOLDER}/{file}" for row, file in method_pages(evaluation).items()},
        explanation=cells.EXPLANATION.replace("`n`", "n"),
        printed=printed,
        printed_mark=MARK,
        pairs=cells.told_pairs(evaluation),
        compared=cells.PAIRS_EXPLANATION,
        refused=refused,
        remarks=remarks,
        missing=missing,
        definitions=[f"{m.label}: {cells.definition(m, evaluation.settings)}" for m in evaluation.columns.values()],
        **_clips(evaluation, evaluation.methods, MAX_CLIPS),
    )


def method_text(evaluation: Evaluation, row: MethodScores) -> str:
    """A method's page: its means beside the truth's and the still mouth's, and its clips, the worst first."""
    beside = [each for each in evaluation.rows if each.name in (TRUTH_ROW, BASELINE_CONTROL)]
    return render_page(
        Path(__file__).parent,
        "method.html.j2",
        title=row.name,
        row=row,
        columns=[*beside, row],
        verdicts={
            found.metric: found.verdict
            for comparison in compare_rows([*beside, row], evaluation.metrics)
            for found in comparison.differences
            if found.interval is not None
        },
        baseline=BASELINE_CONTROL,
        few=f"fewer than {MIN_CLIPS} clips: too few to tell",
        groups=[
            (title, [m for m in group if cells.cell(row, m).mean is not None])
            for title, group in cells.groups(evaluation)
        ],
        **_clips(evaluation, [row], MAX_METHOD_CLIPS),
    )


def worst_first(evaluation: Evaluation, rows: Sequence[MethodScores]) -> list[str]:
    """Clips of some rows: those that a row could not be scored on, then by the mean of `WORST_BY` over the rows."""
    metric = next((name for name in WORST_BY if name in evaluation.metrics), None)
    by_row = [{} if metric is None else row.by_clip(metric) for row in rows]

    def key(clip: str) -> tuple[int, float, str]:
        values = [values[clip] for values in by_row if clip in values]
        refused = sum(clip in row.refused for row in rows)
        return -refused, -fmean(values) if values else 0.0, clip

    return sorted(
        (clip for clip in evaluation.clips if any(clip in row.scores or clip in row.refused for row in rows)), key=key
    )


def _clips(evaluation: Evaluation, rows: Sequence[MethodScores], most: int) -> dict[str, object]:
    """What both pages need to show clips."""
    order = worst_first(evaluation, rows)
    metric = next((evaluation.metrics[name].label for name in WORST_BY if name in evaluation.metrics), "name")
    by = f"those that are not scored, then by {metric}, the worst first"
    return {
        "evaluation": evaluation,
        "cell": cells.cell,
        "cells": cells,
        "clips": [_clip_section(clip, evaluation, rows) for clip in order[:most]],
        "order": f"{by}; {most} of {len(order)}, all are in clips.csv" if len(order) > most else by,
        "curve": curve,
        "curve_height": CURVE_HEIGHT,
        "moments_of": moments_of,
        "tracker": tracker_version(),
        "fps": FPS,
        "frame_px": FRAME,
    }


def _clip_section(clip: str, evaluation: Evaluation, rows: Sequence[MethodScores]) -> ClipSection:
    """A clip with the truth's row, then these."""
    scored = [(row, row.scores[clip]) for row in rows if clip in row.scores]
    truth = evaluation.truth.scores.get(clip)
    shown = [ClipRow(row.name, score, truth, _values(evaluation, score)) for row, score in scored]
    if truth is not None:
        shown.insert(0, ClipRow("truth", truth, None, (f"{truth.frames} frames, {truth.frames / FPS:.1f} s",)))
    openings = [row.score.opening for row in shown if row.score.opening is not None]
    top = max([1.0, *(1.05 * float(np.nanmax(o)) for o in openings if np.isfinite(o).any())])
    refusals: dict[str, list[str]] = {}
    for row in rows:
        if clip in row.refused:
            refusals.setdefault(row.refused[clip], []).append(row.name)
    notes = tuple((row.name, note) for row, score in scored for note in score.notes)
    return ClipSection(clip, tuple(shown), top, notes, refusals)


def _values(evaluation: Evaluation, score: ClipScore) -> tuple[str, ...]:
    shown = [(evaluation.metrics.get(name), score.values.get(name)) for name in CLIP_METRICS]
    return tuple(f"{m.label} {v:.{m.digits}f}" for m, v in shown if m is not None and isinstance(v, float))


def curve(opening: np.ndarray, top: float) -> str:
    """An SVG path of (T,) lip openings, 0 at the bottom and `top` pixels at the top; gaps where there is no face."""
    step = max(1, math.ceil(len(opening) / MAX_CURVE_POINTS))
    pieces, pen = [], "M"
    for frame in range(0, len(opening), step):
        value = float(opening[frame])
        if math.isfinite(value):
            height = CURVE_HEIGHT * (1 - min(max(value / top, 0.0), 1.0))
            pieces.append(f"{pen}{frame} {height:.1f}")
        pen = "L" if math.isfinite(value) else "M"
    return "".join(pieces)

"""report.html: tables, pairs, and every clip's frames and curves, on one page without server or network.

Pictures are files beside it, loaded when they come into view. The page itself is page.html.j2; curves are SVG paths in
it, since those of all clips together are smaller than one picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moda.evaluation.report.cells import (
    ARROWS,
    EXPLANATION,
    PAIRS_EXPLANATION,
    cell,
    clip_count,
    definition,
    difference_cells,
    direction,
    groups,
    listed,
)
from moda.evaluation.report.printed import MARK, PrintedTable
from moda.evaluation.report.strips import moments_of
from moda.evaluation.results import ClipScore, Evaluation
from moda.evaluation.statistics import compare_rows
from moda.evaluation.tracking import tracker_version
from moda.printing import render_page
from moda.representation import FPS, FRAME

GROUND_TRUTH_ROW = "ground truth"
CURVE_HEIGHT = 100
"""Height of a curve's picture, in its own units; its width is the number of frames."""
MAX_CURVE_POINTS = 900
"""Points of a curve; of longer clips every n-th frame is drawn."""
CLIP_METRICS = ("lmd_aligned", "lip_corr_best", "lip_lag", "opening_ratio", "sync_c")
"""Values printed beside a clip's frames."""


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


def page_text(evaluation: Evaluation, printed: PrintedTable | None = None) -> str:
    """The whole of report.html; the same evaluation gives the same bytes."""
    remarks, refused, missing = listed(evaluation)
    return render_page(
        Path(__file__).parent,
        title="Scores",
        evaluation=evaluation,
        groups=groups(evaluation),
        arrows=ARROWS,
        cell=cell,
        clip_count=clip_count,
        definition=definition,
        explanation=EXPLANATION.replace("`n`", "n"),
        printed=printed,
        printed_mark=MARK,
        comparisons=compare_rows(evaluation.rows, evaluation.metrics),
        compared=PAIRS_EXPLANATION,
        difference_cells=difference_cells,
        direction=direction,
        remarks=remarks,
        refused=refused,
        missing=missing,
        definitions=[f"{m.label}: {definition(m, evaluation.settings)}" for m in evaluation.columns.values()],
        clips=[_clip_section(clip, evaluation) for clip in evaluation.clips],
        curve=curve,
        curve_height=CURVE_HEIGHT,
        moments_of=moments_of,
        tracker=tracker_version(),
        fps=FPS,
        frame_px=FRAME,
    )


def _clip_section(clip: str, evaluation: Evaluation) -> ClipSection:
    scored = [(row, row.scores[clip]) for row in evaluation.rows if clip in row.scores]
    truth = next((score for row, score in scored if row.name == GROUND_TRUTH_ROW), None)
    rows = [ClipRow(row.name, score, truth, _values(evaluation, score)) for row, score in scored if not row.control]
    if truth is not None:
        length = f"{truth.frames} frames, {truth.frames / FPS:.1f} s"
        rows.insert(0, ClipRow("truth", truth, None, (length,)))
    openings = [row.score.opening for row in rows if row.score.opening is not None]
    top = max([1.0, *(1.05 * float(np.nanmax(o)) for o in openings if np.isfinite(o).any())])
    refusals: dict[str, list[str]] = {}
    for row in evaluation.rows:
        if clip in row.refused:
            refusals.setdefault(row.refused[clip], []).append(row.name)
    notes = tuple((row.name, note) for row, score in scored for note in score.notes)
    return ClipSection(clip, tuple(rows), top, notes, refusals)


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

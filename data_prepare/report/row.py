"""One clip in the report's page: pictures and curves at the left, words and figures at the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prepare.report.curve import draw, read_curves, top_of
from data_prepare.report.words import (
    address,
    figure_of,
    figure_text,
    finite,
    inside,
    mapping,
    number,
    offset_words,
    sequence,
)
from moda.printing import html_text as text
from moda.representation import FPS

Record = Mapping[str, Any]
STATUSES = ("kept", "rejected", "failed")
OUTLIER_PERCENTILES = (5.0, 95.0)
"""Percentiles over kept clips; a figure outside is marked in its row."""
MIN_CLIPS_FOR_OUTLIERS = 20
"""Kept clips from which on figures are marked."""
NO_BOUNDS = (-np.inf, np.inf)


def status_of(clip: Record) -> str:
    """Its status; anything unheard of counts as failed."""
    status = str(clip.get("status", ""))
    return status if status in STATUSES else "failed"


def quality_of(clip: Record) -> dict[str, float]:
    """Its figures that are finite numbers."""
    figures = {str(name): finite(value) for name, value in mapping(clip.get("quality")).items()}
    return {name: value for name, value in figures.items() if value is not None}


def bounds_of(values: np.ndarray) -> tuple[float, float]:
    """Where a figure of (K,) kept clips is not worth a mark."""
    if len(values) < MIN_CLIPS_FOR_OUTLIERS:
        return NO_BOUNDS
    low, high = np.percentile(values, OUTLIER_PERCENTILES)
    return float(low), float(high)


def row(out: Path, clip: Record, reasons: Sequence[str], bounds: Mapping[str, tuple[float, float]]) -> str:
    """One clip. reasons: their numbers in the histogram. bounds: from `bounds_of`, by figure."""
    status, clip_id = status_of(clip), str(clip.get("id", ""))
    picture = _pictures(out, clip, clip_id)
    frames = finite(clip.get("frames"))
    about = [f"<bdi>{text(clip.get('source', ''))}</bdi>", f"person <bdi>{text(clip.get('identity', ''))}</bdi>"]
    if clip.get("split"):
        about.append(f"split {text(clip['split'])}")
    if frames:
        about.append(
            f'<span data-k="length" data-v="{frames:g}">{number(frames / FPS, 1)} s, {number(frames, 0)} frames</span>'
        )
    shot = [seconds for value in sequence(clip.get("shot")) if (seconds := finite(value)) is not None]
    if len(shot) == 2:
        about.append(f"{number(shot[0], 2)}–{number(shot[1], 2)} s of the source")
    if inside(out, f"clips/{clip_id}/video.mp4"):
        about.append(f'<a href="{address(f"clips/{clip_id}/video.mp4")}">video</a>')
    lines = [f"<h3><em>{status}</em><bdi>{text(clip_id)}</bdi></h3>", f"<p>{' · '.join(about)}</p>"]
    if status != "kept" or clip.get("reason"):
        step = f"{text(clip['step'])}: " if clip.get("step") else ""
        lines.append(f'<p class="why">{step}{text(clip.get("reason") or "no reason given")}</p>')
    if status == "kept" or clip.get("offset"):
        lines.append(_sync(clip))
    marked = f' data-reason="{" ".join(dict.fromkeys(reasons))}"' if reasons else ""
    bare = "" if picture else " bare"
    body = f'<div class="text">{"".join(lines)}{_figure_cells(clip, bounds)}</div>'
    return f'<article class="clip {status}{bare}"{marked}>{picture}{body}</article>\n'


def _pictures(out: Path, clip: Record, clip_id: str) -> str:
    parts = []
    preview = str(clip.get("preview") or "")
    if preview and inside(out, preview):
        place = address(preview)
        parts.append(
            f'<a class="strip" href="{place}"><img loading="lazy" decoding="async" src="{place}" '
            f'alt="frames of {text(clip_id)}"></a>'
        )
    curves_file = f"clips/{clip_id}/preview.json"
    if inside(out, curves_file) and (curves := read_curves(out / curves_file)) is not None:
        lips = f"lips 0–{number(top_of(curves), 0)} px" if curves.lip_opening else ""
        axis = f"<span>0 s</span><span>{lips}</span><span>{number(curves.seconds, 1)} s</span>"
        parts.append(f'{draw(curves)}<div class="axis">{axis}</div>')
    return f'<div class="look"><div>{"".join(parts)}</div></div>' if parts else ""


def _sync(clip: Record) -> str:
    offset = mapping(clip.get("offset"))
    sizes = {"offset": finite(offset.get("frames")), "confidence": finite(offset.get("confidence"))}
    marks = "".join(
        f'<i data-k="{key}" data-v="{abs(value):g}"></i>' for key, value in sizes.items() if value is not None
    )
    return f'<p class="sync">{text(offset_words(offset or None, bool(clip.get("has_audio"))))}{marks}</p>'


def _figure_cells(clip: Record, bounds: Mapping[str, tuple[float, float]]) -> str:
    quality = quality_of(clip)
    cells = []
    for name in (*(name for name in bounds if name in quality), *sorted(set(quality) - set(bounds))):
        value, figure = quality[name], figure_of(name)
        low, high = bounds.get(name, NO_BOUNDS)
        far = "" if low <= value <= high else ' class="far"'
        title = f' title="{text(figure.meaning)}"' if figure.meaning else ""
        cells.append(
            f'<div{title}><dt>{text(figure.label)}</dt><dd{far} data-k="{text(name)}" data-v="{value:g}">'
            f"{text(figure_text(name, value))}</dd></div>"
        )
    return f"<dl>{''.join(cells)}</dl>" if cells else ""

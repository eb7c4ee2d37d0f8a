"""report.html: the result of every clip, on one page that needs neither server nor network.

The page is a function of the report and of the clips' preview.json, so that the same store gives the same bytes.
Pictures are files beside it, loaded when they come into view. The page itself is page.html.j2.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prepare.report.article import (
    OUTLIER_PERCENTILES,
    Record,
    article,
    bounds_of,
    quality_of,
    status_of,
)
from data_prepare.report.curve import CURVE_HEIGHT, MAX_LEVEL_DBFS, MIN_LEVEL_DBFS
from data_prepare.report.record import STATUSES
from data_prepare.report.words import (
    FIGURES,
    figure_of,
    figure_text,
    finite,
    mapping,
    number,
    sequence,
    without_paths,
)
from moda.data.store import SPLITS
from moda.files import write_text
from moda.printing import render_page
from moda.reasons import reason_group, summed_up
from moda.representation import FPS

MAX_HISTOGRAM_REASONS = 12
"""Reasons in the histogram; rarer ones are added up."""
OTHERS = "rarer reasons"


def write_page(out: Path, report: Record) -> None:
    """Write `out`/report.html for a report as in report.json, whole or not at all.

    Pictures and curves that are missing are left out. Raises `OutputError` if the place cannot be written.
    """
    clips: list[Record] = [mapping(clip) for clip in sequence(report.get("clips"))]
    counts = Counter(status_of(clip) for clip in clips)
    reasons = _reasons(clips)
    figures = _figures(clips)
    bounds = {name: bounds_of(values) for name, values in figures.items()}
    page = render_page(
        Path(__file__).parent,
        title="Preparation report",
        tiles=_tiles(report, clips, counts),
        counts={status: counts[status] for status in STATUSES},
        splits=_splits(report, clips),
        notes=sequence(report.get("notes")),
        reasons=_histogram(clips, reasons),
        figures=[_figure_row(name, values) for name, values in figures.items()],
        missing=[{"id": "", "reason": "", **mapping(entry)} for entry in sequence(report.get("missing"))],
        settings=[
            f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for name, value in mapping(report.get("settings")).items()
        ],
        meanings=[f"{figure.label}: {figure.meaning}" for figure in map(figure_of, figures) if figure.meaning],
        orders=_orders(figures),
        levels=f"{number(MIN_LEVEL_DBFS, 0)} to {number(MAX_LEVEL_DBFS, 0)}",
        outliers=f"{OUTLIER_PERCENTILES[0]:g}th to {OUTLIER_PERCENTILES[1]:g}th",
        clips=[article(out, clip, [reasons[reason_group(why)] for why in _whys(clip)], bounds) for clip in clips],
        curve_height=CURVE_HEIGHT,
    )
    write_text(out / "report.html", page)


def _whys(clip: Record) -> list[str]:
    """Why a clip was not kept, without the paths in it; the step "quality" may give several reasons."""
    if status_of(clip) == "kept":
        return []
    reason = without_paths(str(clip.get("reason") or ""), str(clip.get("source") or ""))
    return list(dict.fromkeys(reason.split("; "))) if clip.get("step") == "quality" else [reason]


def _reasons(clips: Sequence[Record]) -> dict[str, str]:
    """Groups of reasons -> the number by which the page's script knows them, commonest first."""
    counts = Counter(reason_group(why) for clip in clips for why in _whys(clip))
    ordered = sorted(counts, key=lambda group: (-counts[group], group))
    return {group: str(min(index, MAX_HISTOGRAM_REASONS)) for index, group in enumerate(ordered)}


def _figures(clips: Iterable[Record]) -> dict[str, np.ndarray]:
    """Figures of the kept clips by name: known ones first, each with its values."""
    values: dict[str, list[float]] = {}
    for clip in clips:
        if status_of(clip) == "kept":
            for name, value in quality_of(clip).items():
                values.setdefault(name, []).append(value)
    known = [name for name in FIGURES if name in values]
    return {name: np.array(values[name]) for name in (*known, *sorted(set(values) - set(known)))}


def _figure_row(name: str, values: np.ndarray) -> dict[str, Any]:
    figure = figure_of(name)
    percentiles = [figure_text(name, value) for value in np.percentile(values, (5, 50, 95))]
    return {"label": figure.label, "meaning": figure.meaning, "percentiles": percentiles}


def _minutes(clips: Iterable[Record]) -> float:
    return sum(finite(clip.get("frames")) or 0.0 for clip in clips) / FPS / 60.0


def _tiles(report: Record, clips: Sequence[Record], counts: Mapping[str, int]) -> list[dict[str, str]]:
    totals = mapping(report.get("totals"))
    people = sum(finite(count) or 0.0 for count in mapping(report.get("identities")).values())
    minutes = _minutes(clip for clip in clips if status_of(clip) == "kept")

    def tile(label: str, value: float, digits: int = 0, total: str = "", tone: str = "") -> dict[str, str]:
        """One tile; where the report has the total of that name, it counts."""
        reported = finite(totals.get(total))
        return {"label": label, "value": number(value if reported is None else reported, digits), "tone": tone}

    def share(status: str) -> str:
        return f"{status}, {number(100.0 * counts[status] / len(clips), 1)}\N{NO-BREAK SPACE}%" if clips else status

    return [
        tile("videos", len({str(clip.get("source")) for clip in clips}), total="videos"),
        tile("clips", len(clips), total="clips"),
        *(tile(share(status), counts[status], total=status, tone=status) for status in STATUSES),
        tile("minutes kept", minutes, 1, total="minutes"),
        tile("frames kept", 60 * FPS * minutes, total="frames"),
        tile("people", people),
    ]


def _splits(report: Record, clips: Sequence[Record]) -> list[tuple[str, tuple[str, str, str]]]:
    """By split: people, clips and minutes."""
    people, lists = mapping(report.get("identities")), mapping(report.get("splits"))
    rows = []
    for split in dict.fromkeys((*SPLITS, *people, *lists)):
        members = [clip for clip in clips if clip.get("split") == split and status_of(clip) == "kept"]
        count = finite(lists.get(split))
        cells = (
            number(finite(people.get(split)) or 0.0, 0),
            number(len(members) if count is None else count, 0),
            number(_minutes(members), 1),
        )
        rows.append((split, cells))
    return rows


def _histogram(clips: Sequence[Record], reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    """Reasons why clips were not kept, the commonest first."""
    members: dict[str, list[tuple[str, Record]]] = {}
    for clip in clips:
        for why in _whys(clip):
            members.setdefault(reasons[reason_group(why)], []).append((why, clip))
    most = max((len(group) for group in members.values()), default=0)
    rows = []
    for key in sorted(members, key=int):
        alike = members[key]
        failed = sum(status_of(clip) == "failed" for _, clip in alike)
        rows.append(
            {
                "key": key,
                "tone": "failed" if 2 * failed > len(alike) else "rejected",
                "count": len(alike),
                "text": OTHERS if int(key) >= MAX_HISTOGRAM_REASONS else summed_up([why for why, _ in alike]),
                "percent": 100.0 * len(alike) / most,
            }
        )
    return rows


def _orders(figures: Iterable[str]) -> list[tuple[str, str]]:
    """Orders that clips can be sorted by: the key that the page's script reads, and its label."""
    orders = [
        ("", "order of the report"),
        ("offset/down", "offset, largest first"),
        ("confidence", "confidence of offset, lowest first"),
        ("length/down", "length, longest first"),
    ]
    for name in figures:
        label = figure_of(name).label
        orders += [(name, f"{label}, lowest first"), (f"{name}/down", f"{label}, highest first")]
    return orders

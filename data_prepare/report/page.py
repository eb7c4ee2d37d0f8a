"""report.html: what became of every clip, on one page that needs neither server nor network.

The page is a function of the report and of the clips' preview.json, so that the same store gives
the same bytes. Pictures are files beside it, loaded when they come into view.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prepare.report.curve import MAX_LEVEL_DBFS, MIN_LEVEL_DBFS
from data_prepare.report.row import OUTLIER_PERCENTILES, STATUSES, Record, bounds_of, quality_of, row, status_of
from data_prepare.report.style import SCRIPT, STYLE
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
from moda.data.clip import SPLITS
from moda.files import write_text
from moda.printing import html_text as text
from moda.reasons import reason_group, summed_up
from moda.representation import FPS

MAX_HISTOGRAM_REASONS = 12
"""Reasons in the histogram; rarer ones are added up."""
OTHERS = "rarer reasons"


def write_page(out: Path, report: Record) -> None:
    """Write `out`/report.html for a report as report.json holds it, whole or not at all.

    Pictures and curves that are missing are left out. Raises `OutputError` if the place cannot be written.
    """
    clips: list[Record] = [mapping(clip) for clip in sequence(report.get("clips"))]
    reasons = _reasons(clips)
    figures = _figures(clips)
    bounds = {name: bounds_of(values) for name, values in figures.items()}
    rows = [row(out, clip, _keys(clip, reasons), bounds) for clip in clips]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Preparation report</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{STYLE}</style></head><body><h1>Preparation report</h1>",
        _tiles(report, clips),
        '<div class="panels">',
        _splits(report, clips),
        _reason_panel(clips, reasons),
        _figure_panel(figures),
        "</div>",
        _missing([mapping(entry) for entry in sequence(report.get("missing"))]),
        _settings(mapping(report.get("settings"))),
        _meanings(figures),
        _controls(clips, figures),
        LEGEND,
        f'<main id="clips">{"".join(rows)}</main>',
        "" if clips else '<p class="soft">No clips.</p>',
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    write_text(out / "report.html", "\n".join(parts))


def _said(clip: Record) -> list[str]:
    """Why a clip was not kept, without the paths in it; the step "quality" may give several reasons."""
    if status_of(clip) == "kept":
        return []
    reason = without_paths(str(clip.get("reason") or ""), str(clip.get("source") or ""))
    return list(dict.fromkeys(reason.split("; "))) if clip.get("step") == "quality" else [reason]


def _reasons(clips: Sequence[Record]) -> dict[str, str]:
    """Groups of reasons -> the number by which the page's script knows them, commonest first."""
    counts = Counter(reason_group(said) for clip in clips for said in _said(clip))
    ordered = sorted(counts, key=lambda group: (-counts[group], group))
    return {group: str(min(index, MAX_HISTOGRAM_REASONS)) for index, group in enumerate(ordered)}


def _keys(clip: Record, reasons: Mapping[str, str]) -> list[str]:
    return [reasons[reason_group(said)] for said in _said(clip)]


def _figures(clips: Iterable[Record]) -> dict[str, np.ndarray]:
    """Figures of the kept clips by name: known ones first, each with its values."""
    values: dict[str, list[float]] = {}
    for clip in clips:
        if status_of(clip) == "kept":
            for name, value in quality_of(clip).items():
                values.setdefault(name, []).append(value)
    known = [name for name in FIGURES if name in values]
    return {name: np.array(values[name]) for name in (*known, *sorted(set(values) - set(known)))}


def _minutes(clips: Iterable[Record]) -> float:
    return sum(finite(clip.get("frames")) or 0.0 for clip in clips) / FPS / 60.0


def _tiles(report: Record, clips: Sequence[Record]) -> str:
    totals = mapping(report.get("totals"))
    counts = Counter(status_of(clip) for clip in clips)
    people = sum(finite(count) or 0.0 for count in mapping(report.get("identities")).values())
    kept = [clip for clip in clips if status_of(clip) == "kept"]

    def total(name: str, otherwise: float) -> float:
        value = finite(totals.get(name))
        return otherwise if value is None else value

    def share(status: str) -> str:
        return f"{status}, {number(100.0 * counts[status] / len(clips), 1)}&nbsp;%" if clips else status

    tiles = [
        ("", number(total("videos", len({str(clip.get("source")) for clip in clips})), 0), "videos"),
        ("", number(total("clips", len(clips)), 0), "clips"),
        *((status, number(total(status, counts[status]), 0), share(status)) for status in STATUSES),
        ("", number(total("minutes", _minutes(kept)), 1), "minutes kept"),
        ("", number(total("frames", 1500.0 * _minutes(kept)), 0), "frames kept"),
        ("", number(people, 0), "people"),
    ]
    cells = "".join(f'<div class="{tone}"><b>{value}</b><small>{label}</small></div>' for tone, value, label in tiles)
    bar = "".join(f'<i class="{status}" style="flex:{counts[status]}"></i>' for status in STATUSES if counts[status])
    return f'<div class="tiles">{cells}</div><div class="share" aria-hidden="true">{bar}</div>'


def _splits(report: Record, clips: Sequence[Record]) -> str:
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
        rows.append(f"<tr><th>{text(split)}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "<thead><tr><th>split</th><th>people</th><th>clips</th><th>min</th></tr></thead>"
    notes = "".join(f'<p class="soft">{text(note)}</p>' for note in sequence(report.get("notes")))
    return f"<section><h2>Splits</h2><table>{head}<tbody>{''.join(rows)}</tbody></table>{notes}</section>"


def _reason_panel(clips: Sequence[Record], reasons: Mapping[str, str]) -> str:
    members: dict[str, list[tuple[str, Record]]] = {}
    for clip in clips:
        for said in _said(clip):
            members.setdefault(reasons[reason_group(said)], []).append((said, clip))
    if not members:
        return '<section><h2>Why clips were not kept</h2><p class="soft">Every clip was kept.</p></section>'
    most = max(len(group) for group in members.values())
    items = []
    for key in sorted(members, key=int):
        alike = members[key]
        failed = sum(status_of(clip) == "failed" for _, clip in alike)
        tone = "failed" if 2 * failed > len(alike) else "rejected"
        words = OTHERS if int(key) >= MAX_HISTOGRAM_REASONS else summed_up([said for said, _ in alike])
        bar = f'<i style="width:{100.0 * len(alike) / most:.1f}%"></i>'
        items.append(
            f'<li class="{tone}"><a href="#clips" data-reason="{key}"><b>{len(alike)}</b>'
            f"<span>{text(words)}</span>{bar}</a></li>"
        )
    return f'<section><h2>Why clips were not kept</h2><ul class="reasons">{"".join(items)}</ul></section>'


def _figure_panel(figures: Mapping[str, np.ndarray]) -> str:
    if not figures:
        return '<section><h2>Kept clips</h2><p class="soft">No clip was kept.</p></section>'
    rows = []
    for name, values in figures.items():
        cells = "".join(f"<td>{text(figure_text(name, v))}</td>" for v in np.percentile(values, (5, 50, 95)))
        figure = figure_of(name)
        rows.append(f'<tr title="{text(figure.meaning)}"><th>{text(figure.label)}</th>{cells}</tr>')
    head = "<thead><tr><th>figure</th><th>5 %</th><th>median</th><th>95 %</th></tr></thead>"
    return f"<section><h2>Kept clips</h2><table>{head}<tbody>{''.join(rows)}</tbody></table></section>"


def _missing(missing: Sequence[Record]) -> str:
    if not missing:
        return ""
    items = "".join(
        f"<li><bdi>{text(entry.get('id', ''))}</bdi>: {text(entry.get('reason', ''))}</li>" for entry in missing
    )
    return f"<details><summary>{len(missing)} listed videos are not there</summary><ul>{items}</ul></details>"


def _settings(settings: Record) -> str:
    if not settings:
        return ""
    items = "".join(
        f"<li>{text(name)}: {text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))}</li>"
        for name, value in settings.items()
    )
    return f"<details><summary>Settings of this run</summary><ul>{items}</ul></details>"


def _meanings(figures: Iterable[str]) -> str:
    known = [figure_of(name) for name in figures if figure_of(name).meaning]
    if not known:
        return ""
    items = "".join(f"<li>{text(figure.label)}: {text(figure.meaning)}</li>" for figure in known)
    return f"<details><summary>What the figures mean</summary><ul>{items}</ul></details>"


def _controls(clips: Sequence[Record], figures: Iterable[str]) -> str:
    counts = Counter(status_of(clip) for clip in clips)
    buttons = [f'<button type="button" value="">all {len(clips)}</button>'] + [
        f'<button type="button" value="{status}">{status} {counts[status]}</button>' for status in STATUSES
    ]
    ways = [
        ("", "order of the report"),
        ("offset/down", "offset, largest first"),
        ("confidence", "confidence of offset, lowest first"),
    ]
    ways += [("length/down", "length, longest first")]
    for name in figures:
        label = figure_of(name).label
        ways += [(name, f"{label}, lowest first"), (f"{name}/down", f"{label}, highest first")]
    options = "".join(f'<option value="{text(way)}">{text(label)}</option>' for way, label in ways)
    return (
        f'<div class="controls" id="controls" hidden><span>{"".join(buttons)}</span>'
        f'<label>sort by <select>{options}</select></label><input type="search" placeholder="name, person or reason" '
        'aria-label="find"><small id="shown"></small></div>'
    )


LEGEND = (
    '<p class="legend"><span><i></i>lip opening, pixels of the 512 px frame at head scale 1; '
    "a gap: face not tracked</span>"
    f'<span><i class="area"></i>audio level, {number(MIN_LEVEL_DBFS, 0)} to {number(MAX_LEVEL_DBFS, 0)} dBFS</span>'
    '<span><i class="bad"></i>no face in that frame</span>'
    "<span>a kept clip's frames stand over the part of the curve they come from</span>"
    f"<span><u>underlined</u>: outside the {OUTLIER_PERCENTILES[0]:g}th to {OUTLIER_PERCENTILES[1]:g}th percentile "
    "of kept clips</span></p>"
)

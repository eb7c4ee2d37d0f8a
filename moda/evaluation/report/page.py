"""report.html: tables, pairs, and every clip's frames and curves, on one page without server or network.

Pictures are files beside it, loaded when they come into view.
"""

from __future__ import annotations

from collections.abc import Sequence

from moda.evaluation.report.cells import (
    ARROWS,
    Cell,
    cell,
    clip_count,
    definition,
    direction,
    groups,
    interval_text,
    listed,
)
from moda.evaluation.report.clips import clip_sections
from moda.evaluation.report.printed import MARK, PrintedTable
from moda.evaluation.report.style import STYLE
from moda.evaluation.report.tables import COMPARED, EXPLANATION
from moda.evaluation.results import Evaluation
from moda.evaluation.statistics import MIN_CLIPS, Comparison, compare_rows
from moda.evaluation.tracking import tracker_version
from moda.metrics.registry import Metric
from moda.printing import html_text as escape
from moda.representation import FPS, FRAME

LEGEND = (
    '<p class="legend"><span><i></i>lip opening of the truth after rigid alignment</span>'
    '<span><i class="m"></i>of the generated video, same scale</span>'
    "<span>frames are those at the thin lines: in turn the most open and the most closed true mouth of an eighth "
    "of the clip</span></p>"
)


def page_text(evaluation: Evaluation, printed: PrintedTable | None = None) -> str:
    """The whole of report.html; the same evaluation gives the same bytes."""
    methods = ", ".join(
        f"{escape(name)}: <code>{escape(str(folder))}</code>" for name, folder in evaluation.generated.items()
    )
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Scores</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{STYLE}</style></head><body><h1>Scores</h1>",
        f'<p class="soft">True videos: <code>{escape(str(evaluation.true))}</code>. {methods}</p>',
        *(_table(title, metrics, evaluation) for title, metrics in groups(evaluation.metrics)),
        f'<p class="soft">{EXPLANATION.format(fewest=MIN_CLIPS).replace("`n`", "n")}</p>',
        "" if printed is None else _printed(printed),
        _pairs(evaluation),
        *_lists(evaluation),
        "<h2>Clips</h2>",
        LEGEND,
        f"<main>{clip_sections(evaluation)}</main>",
        f'<p class="soft">Landmarks: {escape(tracker_version())}, {FPS:g} frames/s; px are pixels of the square '
        f"frame, {FRAME} wide.</p></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _table(title: str, metrics: Sequence[Metric], evaluation: Evaluation) -> str:
    heads = "".join(
        f'<th title="{escape(definition(m, evaluation.settings))}"><b>{escape(m.label)}</b>'
        f"{escape(m.unit)} {ARROWS[m.better]}</th>"
        for m in metrics
    )
    rows, before = [], False
    for row in evaluation.rows:
        first = " first" if row.control and not before else ""
        before = row.control
        tone = f' class="control{first}"' if row.control else ""
        cells = "".join(_cell(cell(row, metric)) for metric in metrics)
        rows.append(f"<tr{tone}><th>{escape(row.name)}</th><td>{clip_count(row)}</td>{cells}</tr>")
    return (
        f'<div class="scroll"><table><caption>{escape(title)}</caption><thead><tr><th></th><th>clips</th>{heads}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(found: Cell) -> str:
    if not found.available:
        return f'<td class="none">{escape(found.text)}</td>'
    smalls = [found.interval, found.extent, f"n={found.n}" if found.n < found.of else ""]
    return f"<td>{escape(found.text)}{''.join(f'<small>{escape(s)}</small>' for s in smalls if s)}</td>"


def _printed(printed: PrintedTable) -> str:
    heads = "".join(f"<th><b>{escape(column)}</b></th>" for column in printed.columns)
    rows = "".join(
        f"<tr><th>{escape(method)}</th>{''.join(f'<td>{value:g}</td>' for value in values)}</tr>"
        for method, values in printed.rows.items()
    )
    return (
        f"<h2>The paper's numbers</h2><p>{escape(printed.setting)}, <b>{MARK}</b> ({escape(printed.source)}).</p>"
        f'<div class="scroll printed"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div><p>{escape(printed.note)}</p>"
    )


def _pairs(evaluation: Evaluation) -> str:
    comparisons = compare_rows(evaluation.rows, evaluation.metrics)
    if not comparisons:
        return ""
    blocks = "".join(_pair(comparison, evaluation) for comparison in comparisons)
    return f'<h2>Pairs of rows</h2><p class="soft">{COMPARED.format(fewest=MIN_CLIPS)}</p>{blocks}'


def _pair(comparison: Comparison, evaluation: Evaluation) -> str:
    rows = []
    for found in comparison.differences:
        metric = evaluation.metrics[found.metric]
        tone = f' class="{found.verdict}"' if found.verdict in ("better", "worse") else ""
        rows.append(
            f'<tr><th title="{escape(direction(metric))}">{escape(metric.label)}</th>'
            f"<td>{found.mean:+.{metric.digits}f}</td><td>{interval_text(found.interval, metric.digits) or '-'}</td>"
            f"<td>{found.n}</td><td{tone}>{escape(found.verdict)}</td></tr>"
        )
    better = sum(found.verdict == "better" for found in comparison.differences)
    worse = sum(found.verdict == "worse" for found in comparison.differences)
    enough = any(found.interval is not None for found in comparison.differences)
    told = f"better on {better}, worse on {worse} of {len(comparison.differences)} metrics"
    told = told if enough else f"fewer than {MIN_CLIPS} clips in common, too few to tell"
    first = escape(comparison.first)
    return (
        f"<details><summary>{first} against {escape(comparison.second)}: {told}</summary>"
        f'<div class="scroll"><table><thead><tr><th>metric</th><th>difference</th><th>95 %</th><th>n</th>'
        f"<th>{first} is</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _lists(evaluation: Evaluation) -> list[str]:
    remarks, refused, missing = listed(evaluation)
    meanings = [f"{m.label}: {definition(m, evaluation.settings)}" for m in evaluation.metrics.values()]
    blocks = [
        ("Not scored", refused, bool(refused) and len(refused) <= 12),
        ("Remarks", remarks, False),
        ("Not available", missing, False),
        ("Definitions", meanings, False),
    ]
    return ["<h2>What to know</h2>"] + [
        f"<details{' open' if shown else ''}><summary>{title} ({len(lines)})</summary>"
        f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul></details>"
        for title, lines, shown in blocks
        if lines
    ]

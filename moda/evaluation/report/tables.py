"""table.md: the table for people."""

from __future__ import annotations

from collections.abc import Sequence

from moda.evaluation.report.cells import (
    EXPLANATION,
    PAIRS_EXPLANATION,
    cell,
    clip_count,
    definition,
    difference_cells,
    footnotes,
    groups,
    listed,
    title,
    told_pairs,
)
from moda.evaluation.report.printed import MARK, PrintedTable
from moda.evaluation.results import Evaluation
from moda.evaluation.statistics import Comparison
from moda.evaluation.tracking import tracker_version
from moda.metrics.registry import Metric
from moda.printing import printable
from moda.representation import FPS, FRAME


def table_text(evaluation: Evaluation) -> str:
    """The tables of means as aligned Markdown, a group of metrics each: the truth, the other controls, the methods."""
    parts = []
    for name, metrics in groups(evaluation):
        header = ["", "clips", *map(title, metrics)]
        lines = [
            [f"*{row.name}*" if row.control else row.name, clip_count(row), *(str(cell(row, m)) for m in metrics)]
            for row in evaluation.rows
        ]
        parts.append("\n\n".join([name, markdown(header, lines), *footnotes(metrics, evaluation.settings)]))
    return "\n\n".join(parts)


def printed_text(printed: PrintedTable) -> str:
    """The paper's numbers, in a block of their own."""
    lines = [[method, *(f"{value:g}" for value in values)] for method, values in printed.rows.items()]
    title = f"{printed.setting}, {MARK} ({printed.source})"
    return f"{title}\n\n{markdown(['', *printed.columns], lines)}\n\n{printed.note}"


def comparison_text(comparison: Comparison, metrics: dict[str, Metric]) -> str:
    """One pair of rows, a line a metric."""
    lines = [
        [metrics[d.metric].label, *difference_cells(d, metrics[d.metric]), d.verdict] for d in comparison.differences
    ]
    header = ["metric", "difference", "95 %", "n", f"{comparison.first} is"]
    return f"### {comparison.first} against {comparison.second}\n\n{markdown(header, lines)}"


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table."""
    rows = [[printable(text).replace("|", "\\|") for text in line] for line in (header, *lines)]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(header))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows)


def report_text(evaluation: Evaluation, printed: PrintedTable | None = None) -> str:
    """The whole of table.md."""
    parts = [
        "# Scores",
        f"True videos: `{printable(evaluation.true)}`. "
        + " ".join(f"{name}: `{printable(folder)}`." for name, folder in evaluation.generated.items()),
        table_text(evaluation),
        EXPLANATION,
    ]
    if printed is not None:
        parts += ["## The paper's numbers", printed_text(printed)]
    pairs, untold = told_pairs(evaluation)
    if pairs or untold:
        parts += ["## Pairs of rows on the same clips", PAIRS_EXPLANATION]
        parts += [comparison_text(pair, evaluation.metrics) for pair in pairs] + [untold] * bool(untold)
    parts += [
        "## Definitions",
        "\n".join(f"- **{m.label}**: {definition(m, evaluation.settings)}" for m in evaluation.columns.values()),
        f"Landmarks: {tracker_version()}, {FPS:g} frames/s; px are pixels of the square frame, {FRAME} wide.",
    ]
    remarks, refused, missing = listed(evaluation)
    for name, lines in (("Remarks", remarks), ("Not scored", refused), ("Not available", missing)):
        if lines:
            parts += [f"## {name}", "\n".join(f"- {printable(line)}" for line in lines)]
    return printable("\n\n".join(parts), keep="\n") + "\n"

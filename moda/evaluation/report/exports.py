"""The table for a paper and for a spreadsheet: table.tex and table.csv."""

from __future__ import annotations

from moda.evaluation.report.cells import NONE, Cell, best, cell, clip_count, footnotes, groups, title
from moda.evaluation.results import Evaluation, MethodScores
from moda.metrics.registry import Measure
from moda.printing import csv_text, latex

TEX_ARROWS = {
    "lower": r"$\downarrow$",
    "higher": r"$\uparrow$",
    "one": r"$\to$1",
    "zero": r"$\to$0",
    "truth": r"$\to$truth",
    "none": "",
}


def tex_text(evaluation: Evaluation) -> str:
    """The whole of table.tex: a table a group of metrics; a paper includes it as it is."""
    parts = [
        "% Scores by moda eval. Needs \\usepackage{booktabs,graphicx}. Means over clips, 95 % interval below;\n"
        "% bold: the best method; rows in italics are controls."
    ]
    for name, metrics in groups(evaluation):
        winners = {metric.name: best(evaluation, metric) for metric in metrics}
        heads = [
            rf"\shortstack{{{latex(m.label)} {TEX_ARROWS[m.better]}\\{{\scriptsize {latex(m.unit)}}}}}" for m in metrics
        ]
        lines = [
            rf"\begin{{table}}\centering\caption{{{latex(name)}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'c' * (len(metrics) + 1)}}}",
            r"\toprule",
            " & ".join(["", "clips", *heads]) + r" \\",
            r"\midrule",
        ]
        control = True
        for row in evaluation.rows:
            if control and not row.control:
                lines.append(r"\midrule")
            control = row.control
            label = rf"\textit{{{latex(row.name)}}}" if row.control else latex(row.name)
            found = [_tex_cell(cell(row, metric), row.name in winners[metric.name]) for metric in metrics]
            label = f"{{{label}}}"  # a bracket or star after a line's end would act
            lines.append(" & ".join([label, latex(clip_count(row)), *found]) + r" \\")
        notes = [rf"\par{{\footnotesize {latex(note)}}}" for note in footnotes(metrics, evaluation.settings)]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}}", *notes, r"\end{table}"]))
    return "\n\n".join(parts) + "\n"


def _tex_cell(found: Cell, is_best: bool) -> str:
    if found.mean is None:
        return "--"
    text = f"${found.text}$"
    text = rf"\textbf{{\boldmath{text}}}" if is_best else text
    smalls = ", ".join(latex(small) for small in found.smalls)
    return rf"\shortstack{{{text}\\{{\scriptsize {smalls}}}}}" if smalls else text


def table_csv(evaluation: Evaluation) -> str:
    """The whole of table.csv: a line a row; of each metric the mean, the interval's ends, clips, and which is best."""
    columns = [metric for _, group in groups(evaluation) for metric in group]
    winners = {metric.name: best(evaluation, metric) for metric in columns}
    parts = ("", " low", " high", " n", " best")
    lines = [["row", "kind", "clips", *(f"{title(metric)}{part}" for metric in columns for part in parts)]]
    for row in evaluation.rows:
        values = [value for metric in columns for value in _csv_cells(row, metric, winners[metric.name])]
        lines.append([row.name, "control" if row.control else "method", clip_count(row), *values])
    return csv_text(lines)


def _csv_cells(row: MethodScores, metric: Measure, winners: set[str]) -> list[str]:
    found = cell(row, metric)
    if found.mean is None:
        return [NONE, "", "", "0", ""]
    ends = ["", ""] if found.ends is None else [f"{end:.6g}" for end in (found.ends.low, found.ends.high)]
    return [f"{found.mean:.6g}", *ends, str(found.n), "best" if row.name in winners else ""]

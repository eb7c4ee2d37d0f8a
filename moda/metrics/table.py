"""The report of an evaluation: table.md for people, clips.csv by clip, scores.json for programs."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from statistics import fmean

import moda
from moda.data.clip import write_json, write_text
from moda.metrics import METRICS, Metric, NotAvailable
from moda.metrics.evaluate import Evaluation, Row
from moda.metrics.framing import MAX_ASPECT, MAX_OFFSET, MAX_SIZE, MAX_UNTRACKED
from moda.metrics.tracking import tracker_version
from moda.representation import FPS, FRAME

FORMAT = 1
"""Version of the layout of scores.json."""
ARROWS = {"lower": "↓", "higher": "↑", "one": "→1", "zero": "→0", "none": ""}


def write_report(evaluation: Evaluation, output: Path) -> list[Path]:
    """Write the three files, each whole or not at all; raises `OutputError`. Returns their paths."""
    paths = [output / "table.md", output / "clips.csv", output / "scores.json"]
    write_text(paths[0], report_text(evaluation))
    write_text(paths[1], clips_text(evaluation))
    write_json(paths[2], scores_record(evaluation))
    return paths


def table_text(evaluation: Evaluation) -> str:
    """The table of means as aligned Markdown: methods, then controls."""
    header = ["", "clips"] + [f"{m.label} [{m.unit}] {ARROWS[m.better]}" for m in METRICS.values()]
    lines = [header]
    for row in evaluation.rows:
        of = len(row.scores) + len(row.refused)
        clips = str(of) if not row.refused else f"{len(row.scores)} of {of}"
        name = f"*{row.name}*" if row.control else row.name
        lines.append([name.replace("|", "\\|"), clips] + [_cell(row, m) for m in METRICS.values()])
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def report_text(evaluation: Evaluation) -> str:
    """The whole of table.md."""
    parts = [
        "# Scores",
        f"True videos: `{evaluation.true}`. "
        + " ".join(f"{name}: `{folder}`." for name, folder in evaluation.generated.items()),
        table_text(evaluation),
        "Means over clips; `n` is given where it is not the row's number of clips. Rows in italics are controls, "
        "computed from the true tracks: a method that does not beat the still mouth has not shown good lips. "
        "A best lag is given as mean (lowest to highest).",
        "## Definitions",
        "\n".join(
            f"- **{m.label}** ({m.unit}, {_direction(m)}, version {m.version}; {m.source}): {m.definition}"
            for m in METRICS.values()
        ),
        f"Landmarks: {tracker_version()}, {FPS:g} frames/s; px are pixels of the square frame, {FRAME} wide.",
    ]
    remarks = list(evaluation.remarks)
    for row in evaluation.rows:
        remarks += [f"{row.name}, {clip}: {note}" for clip, score in row.scores.items() for note in score.notes]
    refused = [f"{row.name}, {clip}: {why}" for row in evaluation.rows for clip, why in row.refused.items()]
    missing = [
        f"{row.name}, {clip}: {metric.label}: {value.why}"
        for row in evaluation.rows
        for metric in METRICS.values()
        for clip, value in _missing(row, metric.name).items()
    ]
    for title, lines in (("Remarks", remarks), ("Not scored", refused), ("Not available", missing)):
        if lines:
            parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def clips_text(evaluation: Evaluation) -> str:
    """The whole of clips.csv: a line a clip and row; a cell is a number or says why there is none."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["clip", "name", "kind", "frames", *METRICS, "notes"])
    for row in evaluation.rows:
        kind = "control" if row.control else "method"
        for clip in sorted(row.scores | row.refused):
            if clip in row.refused:
                cells = [str(NotAvailable("not scored"))] * len(METRICS)
                writer.writerow([clip, row.name, kind, "", *cells, f"not scored: {row.refused[clip]}"])
                continue
            score = row.scores[clip]
            values = [score.values[name] for name in METRICS]
            cells = [str(v) if isinstance(v, NotAvailable) else f"{v:.6g}" for v in values]
            writer.writerow([clip, row.name, kind, score.frames, *cells, "; ".join(score.notes)])
    return file.getvalue()


def scores_record(evaluation: Evaluation) -> dict[str, object]:
    """The contents of scores.json."""
    return {
        "format": FORMAT,
        "moda": moda.__version__,
        "true": str(evaluation.true),
        "generated": {name: str(folder) for name, folder in evaluation.generated.items()},
        "settings": {
            "fps": FPS,
            "frame": FRAME,
            "tracker": tracker_version(),
            "most_untracked": MAX_UNTRACKED,
            "most_aspect_difference": MAX_ASPECT,
            "most_size_ratio": MAX_SIZE,
            "most_offset": MAX_OFFSET,
        },
        "metrics": {
            m.name: {
                "label": m.label,
                "unit": m.unit,
                "better": m.better,
                "version": m.version,
                "definition": m.definition,
            }
            for m in METRICS.values()
        },
        "methods": {row.name: _row_record(row) for row in evaluation.rows if not row.control},
        "controls": {row.name: _row_record(row) for row in evaluation.rows if row.control},
        "clips": evaluation.clips,
        "remarks": evaluation.remarks,
    }


def _row_record(row: Row) -> dict[str, object]:
    metrics: dict[str, object] = {}
    for name in METRICS:
        values = row.values(name)
        metrics[name] = {
            "mean": fmean(values) if values else None,
            "n": len(values),
            "clips": {
                clip: score.values[name]
                for clip, score in row.scores.items()
                if not isinstance(score.values[name], NotAvailable)
            },
            "not_available": {clip: value.why for clip, value in _missing(row, name).items()},
        }
    return {
        "clips": len(row.scores),
        "frames": {clip: score.frames for clip, score in row.scores.items()},
        "notes": {clip: list(score.notes) for clip, score in row.scores.items() if score.notes},
        "not_scored": row.refused,
        "metrics": metrics,
    }


def _missing(row: Row, metric: str) -> dict[str, NotAvailable]:
    """The scored clips of a row on which a metric could not be computed."""
    values = {clip: score.values[metric] for clip, score in row.scores.items()}
    return {clip: value for clip, value in values.items() if isinstance(value, NotAvailable)}


def _cell(row: Row, metric: Metric) -> str:
    if not row.scores:
        return str(NotAvailable("no clip could be scored, see Not scored"))
    values = row.values(metric.name)
    if not values:
        reasons = Counter(v.why for v in _missing(row, metric.name).values())
        why = "; ".join(reason if n == 1 else f"{reason} ({n} clips)" for reason, n in reasons.most_common(2))
        more = f"; {len(reasons) - 2} other reasons" if len(reasons) > 2 else ""
        return str(NotAvailable(why + more)).replace("|", "\\|")
    text = f"{fmean(values):.{metric.digits}f}"
    if metric.better == "zero" and len(values) > 1:
        text = f"{fmean(values):+.{metric.digits}f} ({min(values):+g} to {max(values):+g})"
    return text if len(values) == len(row.scores) else f"{text} (n={len(values)})"


def _direction(metric: Metric) -> str:
    if metric.better in ("lower", "higher"):
        return f"{metric.better} is better"
    if metric.better == "none":
        return "describes"
    return f"better the closer to {1 if metric.better == 'one' else 0}"

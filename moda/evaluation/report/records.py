"""clips.csv by clip, scores.json for programs, and the writing of all that a report consists of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np

from moda.evaluation.clip_results import SCORING_VERSION
from moda.evaluation.framing import (
    MAX_ASPECT_DIFFERENCE,
    MAX_HEAD_OFFSET_SHARE,
    MAX_HEAD_SIZE_RATIO,
    MAX_UNTRACKED_SHARE,
)
from moda.evaluation.protocol import versions, weights_of
from moda.evaluation.report.exports import table_csv, tex_text
from moda.evaluation.report.page import PAGES_FOLDER, method_pages, method_text, page_text
from moda.evaluation.report.printed import MARK, PrintedTable
from moda.evaluation.report.tables import report_text
from moda.evaluation.results import Evaluation, Interval, MethodScores
from moda.evaluation.statistics import LEVEL, MIN_CLIPS, RESAMPLES, SEED, compare_rows, mean_interval
from moda.evaluation.tracking import tracker_version
from moda.files import make_folder, write_json, write_pieces, write_text
from moda.metrics.over_clips import SetMetric
from moda.metrics.registry import Metric, NotAvailable
from moda.printing import csv_lines
from moda.representation import FPS, FRAME

FORMAT = 3
"""Version of the layout of scores.json."""


def write_report(evaluation: Evaluation, output: Path, printed: PrintedTable | None = None) -> list[Path]:
    """Write all files, each whole or not at all; raises `OutputError`. Returns their paths, not the methods' pages'."""
    texts = {
        "table.md": report_text(evaluation, printed),
        "table.csv": table_csv(evaluation),
        "table.tex": tex_text(evaluation),
        "report.html": page_text(evaluation, printed),
    }
    for name, text in texts.items():
        write_text(output / name, text)
    write_pieces(output / "clips.csv", clip_lines(evaluation))
    write_json(output / "scores.json", scores_record(evaluation, printed))
    folder, pages = output / PAGES_FOLDER, method_pages(evaluation)
    make_folder(folder)
    for row in evaluation.methods:
        write_text(folder / pages[row.name], method_text(evaluation, row))
    for path in folder.glob("*.html"):
        if path.name not in pages.values():
            path.unlink()  # of a method that an earlier call scored
    return [output / name for name in (*texts, "clips.csv", "scores.json")]


def clip_lines(evaluation: Evaluation) -> Iterator[str]:
    """The lines of clips.csv: one a clip and row; a cell is a number or the reason why there is none."""
    return csv_lines(_clip_rows(evaluation))


def _clip_rows(evaluation: Evaluation) -> Iterator[list[object]]:
    names = list(evaluation.metrics)
    yield ["clip", "name", "kind", "frames", *names, "notes"]
    for row in evaluation.rows:
        kind = "control" if row.control else "method"
        for clip in sorted(row.scores | row.refused):
            if clip in row.refused:
                cells = [str(NotAvailable("not scored"))] * len(names)
                yield [clip, row.name, kind, "", *cells, f"not scored: {row.refused[clip]}"]
                continue
            score = row.scores[clip]
            values = [score.values[name] for name in names]
            cells = [str(v) if isinstance(v, NotAvailable) else f"{v:.6g}" for v in values]
            yield [clip, row.name, kind, score.frames, *cells, "; ".join(score.notes)]


def scores_record(evaluation: Evaluation, printed: PrintedTable | None = None) -> dict[str, object]:
    """The contents of scores.json; the values of clips are functions, as `write_json` takes them."""
    protocol = evaluation.protocol
    truth = evaluation.truth
    record: dict[str, object] = {
        "format": FORMAT,
        "versions": versions(),
        "protocol": None if protocol is None else {"sha256": protocol.sha256, **protocol.protocol.model_dump()},
        "weights": weights_of(evaluation.settings),
        "true": str(evaluation.true),
        "true_clips": {
            clip: {"sha256": sha256, "frames": truth.scores[clip].frames} for clip, sha256 in evaluation.truths.items()
        },
        "generated": {name: str(folder) for name, folder in evaluation.generated.items()},
        "settings": {
            "fps": FPS,
            "frame": FRAME,
            "tracker": tracker_version(),
            "scoring": SCORING_VERSION,
            "most_untracked": MAX_UNTRACKED_SHARE,
            "most_aspect_difference": MAX_ASPECT_DIFFERENCE,
            "most_size_ratio": MAX_HEAD_SIZE_RATIO,
            "most_offset": MAX_HEAD_OFFSET_SHARE,
            "bootstrap": {
                "method": "BCa",
                "level": LEVEL,
                "samples": RESAMPLES,
                "seed": SEED,
                "fewest_clips": MIN_CLIPS,
            },
            **evaluation.settings.model_dump(mode="json"),
        },
        "metrics": {
            m.name: {
                "label": m.label,
                "unit": m.unit,
                "better": m.better,
                "version": m.version,
                "variant": None if m.variant is None else m.variant(evaluation.settings),
                "over": "all clips" if isinstance(m, SetMetric) else "each clip",
                "needs": list(m.needs) if isinstance(m, Metric) else [],
                "source": m.source,
                "definition": m.definition,
            }
            for m in evaluation.columns.values()
        },
        "methods": {row.name: _row_record(row, evaluation) for row in evaluation.methods},
        "controls": {row.name: _row_record(row, evaluation) for row in evaluation.rows if row.control},
        "comparisons": [
            {
                "first": comparison.first,
                "second": comparison.second,
                "metrics": {
                    d.metric: {"difference": d.mean, "interval": _ends(d.interval), "n": d.n, "first_is": d.verdict}
                    for d in comparison.differences
                },
            }
            for comparison in compare_rows(evaluation.rows, evaluation.metrics)
        ],
        "clips": evaluation.clips,
        "remarks": evaluation.remarks,
        "seconds": {part: round(seconds, 2) for part, seconds in evaluation.seconds.items()},
    }
    if printed is not None:
        record["printed"] = {"mark": MARK, **asdict(printed)}
    return record


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _row_record(row: MethodScores, evaluation: Evaluation) -> dict[str, object]:
    metrics: dict[str, object] = {}
    for name in evaluation.metrics:
        values = row.values(name)
        metrics[name] = {
            "mean": fmean(values) if values else None,
            "interval": _ends(mean_interval(np.array(values))),
            "n": len(values),
            "clips": partial(row.by_clip, name),
            "not_available": partial(row.missing, name),
        }
    return {
        "clips": len(row.scores),
        "frames": {clip: score.frames for clip, score in row.scores.items()},
        "notes": {clip: list(score.notes) for clip, score in row.scores.items() if score.notes},
        "not_scored": row.refused,
        "metrics": metrics,
        "overall": {
            name: {
                "value": None if isinstance(score.value, NotAvailable) else score.value,
                "interval": _ends(score.interval),
                "n": score.clips,
                "not_available": score.value.why if isinstance(score.value, NotAvailable) else None,
            }
            for name, score in row.overall.items()
        },
    }

"""What `moda study analyse` writes: tables as CSV and LaTeX, every answer, and study.json for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from moda.errors import DataError
from moda.files import make_folder, write_json, write_text
from moda.printing import csv_text, latex, printable
from moda.reading import read_json
from moda.study.analysis import PREFERENCE, Results
from moda.study.answers import EXCLUSIONS
from moda.study.key import QUESTIONS
from moda.study.statistics import LEVEL, Estimate

RESULTS_FORMAT, RESULTS_VERSION = "moda-study", 1


def write_results(results: Results, output: Path) -> list[Path]:
    """Write study.json, methods.csv, pairs.csv, answers.csv and table.tex into a folder; raises `OutputError`."""
    make_folder(output)
    names = ("study.json", "methods.csv", "pairs.csv", "answers.csv", "table.tex")
    paths = [output / name for name in names]
    write_json(paths[0], record_of(results))
    write_text(paths[1], csv_text([("method", "question", *_FIELDS), *_method_rows(results)]))
    write_text(paths[2], csv_text([("first", "second", "question", *_FIELDS), *_pair_rows(results)]))
    write_text(paths[3], csv_text([("participant", "method", "clip", "question", "value"), *_answer_rows(results)]))
    write_text(paths[4], latex_table(results))
    return paths


def record_of(results: Results) -> dict[str, Any]:
    """The contents of study.json."""
    return {
        "format": RESULTS_FORMAT,
        "version": RESULTS_VERSION,
        "study": results.key.study,
        "participants": len(results.answers.sheets),
        "excluded": results.answers.excluded,
        "clips": list(results.key.clips),
        "truth": results.key.truth,
        "level": LEVEL,
        "resampled": results.resampled,
        "methods": {m: {q: vars(e) for q, e in each.items()} for m, each in results.methods.items()},
        "pairs": [
            {"first": one, "second": two, PREFERENCE: vars(share)} for (one, two), share in results.pairs.items()
        ],
        "differences": [
            {"first": one, "second": two, **{q: vars(e) for q, e in each.items()}}
            for (one, two), each in results.differences.items()
        ],
        "agreement": results.agreement,
    }


def read_study(path: Path) -> dict[str, Any]:
    """The record of a study.json; raises `DataError` if it is none."""
    record = read_json(path, hint="; wanted the study.json of `moda study analyse`")
    if record.get("format") != RESULTS_FORMAT or record.get("version") != RESULTS_VERSION:
        raise DataError(f"{path} is not the result of a study ({RESULTS_FORMAT}, version {RESULTS_VERSION})")
    if not isinstance(record.get("methods"), dict):
        raise DataError(f"{path} is damaged: it has no methods; run `moda study analyse` again")
    return record


def table_text(results: Results) -> str:
    """The table as it is printed, and what was left out."""
    columns = (*QUESTIONS, PREFERENCE)
    width = max(len("method"), *(len(printable(method)) for method in results.methods))
    lines = [f"{'method':{width}}  " + "  ".join(f"{column:>19}" for column in columns)]
    for method, each in results.methods.items():
        lines.append(f"{printable(method):{width}}  " + "  ".join(f"{_cell(each[column]):>19}" for column in columns))
    alphas = ((q, results.agreement[q]) for q in columns)
    agreed = ", ".join(f"{q} {'undefined' if alpha is None else f'{alpha:.2f}'}" for q, alpha in alphas)
    people = len(results.answers.sheets)
    of = f"{people} participant{'' if people == 1 else 's'}, {len(results.key.clips)} clips"
    lines += [
        "",
        f"{of}; {LEVEL:.0%} intervals, drawn anew: {results.resampled}",
        f"agreement (Krippendorff's alpha): {agreed}",
    ]
    for kind, files in results.answers.excluded.items():
        if files:
            lines.append(
                f"{len(files)} {'file' if len(files) == 1 else 'files'} {EXCLUSIONS[kind]}: {'; '.join(files)}"
            )
    return printable("\n".join(lines), keep="\n")


def latex_table(results: Results) -> str:
    """A tabular of all methods, the best mean of a column in bold, the truth apart from the comparison."""
    columns = (*QUESTIONS, PREFERENCE)
    compared = [each for method, each in results.methods.items() if method != results.key.truth]
    best = {q: max((e.mean for each in compared if (e := each[q]).mean is not None), default=None) for q in columns}
    lines = [
        f"% {len(results.answers.sheets)} participants, {len(results.key.clips)} clips, study {results.key.study}; "
        f"{LEVEL:.0%} intervals, drawn anew: {results.resampled}".replace("%,", r"\%,"),
        r"\begin{tabular}{l" + "c" * len(columns) + "}",
        " & ".join(["Method", *(column.capitalize() for column in columns)]) + r" \\ \hline",
    ]
    for method, each in results.methods.items():
        cells = []
        for column in columns:
            estimate = each[column]
            mean, _, interval = _cell(estimate).partition(" ")
            bold = method != results.key.truth and estimate.mean is not None and estimate.mean == best[column]
            mean = rf"\textbf{{{mean}}}" if bold else mean
            cells.append(mean + (rf" {{\scriptsize {interval}}}" if interval else ""))
        lines.append(" & ".join([latex(method), *cells]) + r" \\")
    return "\n".join([*lines, r"\end{tabular}", ""])


_FIELDS = ("mean", "low", "high", "answers")


def _cell(estimate: Estimate) -> str:
    if estimate.mean is None:
        return "--"
    interval = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.mean:.2f}{interval}"


def _values(estimate: Estimate) -> list[object]:
    return ["" if value is None else f"{value:.4f}" for value in (estimate.mean, estimate.low, estimate.high)] + [
        estimate.answers
    ]


def _method_rows(results: Results) -> Iterable[Sequence[object]]:
    for method, each in results.methods.items():
        for question, estimate in each.items():
            yield method, question, *_values(estimate)


def _pair_rows(results: Results) -> Iterable[Sequence[object]]:
    for (one, two), share in results.pairs.items():
        yield one, two, PREFERENCE, *_values(share)
        for question, estimate in results.differences[one, two].items():
            yield one, two, f"{question} difference", *_values(estimate)


def _answer_rows(results: Results) -> Iterable[Sequence[object]]:
    key = results.key
    for sheet in results.answers.sheets:
        for name, ratings in sheet.ratings.items():
            method, clip = key.videos[name]
            for question, value in (ratings or {}).items():
                yield sheet.participant, method or "control", clip, question, value
        for first, second, share in sheet.pairs:
            if share is not None:
                names = f"{key.videos[first][0]} over {key.videos[second][0]}"
                yield sheet.participant, names, key.videos[first][1], PREFERENCE, share

"""scripts/eval.py: score generated videos against true ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from moda.cli.main import run
from moda.errors import ModaError

INCOMPLETE = 1
"""Exit code when the report is written but some pair could not be scored."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all pairs scored, 1 some were not (the report says why), 2 a mistake in the call."""
    return run(_main, argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eval.py",
        description="Score generated videos against the true ones of the same file name. Writes table.md, clips.csv "
        "and scores.json; rows for the ground truth, the still mouth and the shifted truth are always there.",
        epilog="Exit code 0: all pairs scored. 1: some could not be, see table.md. 2: a mistake in the call.",
    )
    parser.add_argument(
        "--true", required=True, type=Path, metavar="DIR", help="folder of true videos, or a clip store"
    )
    parser.add_argument("--split", metavar="NAME", help="only this list (train, val, test) of the clip store")
    parser.add_argument(
        "--generated",
        required=True,
        nargs="+",
        action="extend",
        metavar="NAME=DIR",
        help="a method's name in the table and its folder of videos; may be given more than once",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder for the report")
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="videos tracked at a time (default: %(default)s)"
    )
    return parser


def _main(argv: Sequence[str] | None) -> int:
    # Imported here so that --help and mistakes in the call answer at once.
    from moda.metrics.controls import CONTROLS
    from moda.metrics.evaluate import evaluate
    from moda.metrics.folders import parse_named_folders
    from moda.metrics.records import write_report
    from moda.metrics.table import table_text

    options = _parser().parse_args(argv)
    if options.jobs < 1:
        raise ModaError(f"--jobs got {options.jobs}, wanted at least 1")
    generated = parse_named_folders(options.generated, reserved=list(CONTROLS))

    console = Console(stderr=True)
    columns = (
        TextColumn("tracking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def progress(part: str, done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        evaluation = evaluate(
            options.true, generated, options.output, split=options.split, jobs=options.jobs, progress=progress
        )
    paths = write_report(evaluation, options.output)
    print(table_text(evaluation))
    for row in evaluation.rows:
        for clip, why in row.refused.items():
            console.print(f"not scored: {row.name}, {clip}: {why}", markup=False, highlight=False, soft_wrap=True)
    for remark in evaluation.remarks:
        console.print(f"remark: {remark}", markup=False, highlight=False, soft_wrap=True)
    console.print("wrote " + ", ".join(str(path) for path in paths), markup=False, highlight=False, soft_wrap=True)
    return 0 if evaluation.complete else INCOMPLETE

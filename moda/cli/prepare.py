"""`prepare`: a folder of raw videos becomes a clip store."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from data_prepare import runner
from data_prepare.job import Options
from data_prepare.runner import Report, prepare
from data_prepare.splits import SplitRule
from moda.cli.main import run
from moda.errors import ConfigError
from moda.representation import FPS

LINE_EVERY = 15.0
"""Where stderr is no terminal, a line of progress in so many seconds."""
SHOWN = 40
"""Videos that were not kept, at most so many are listed on screen; report.json has all."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prepare.py",
        description="Turn a folder of raw videos (any size, rate and codec) into a clip store for training. "
        "The same command again does only what is missing.",
    )
    parser.add_argument("videos", type=Path, help="folder of videos, searched with its subfolders")
    parser.add_argument("out", type=Path, help="the clip store to make or to add to")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, default=512, help="side of the stored videos, pixels (default: %(default)s)"
    )
    parser.add_argument("--include", type=Path, help="text file: prepare only these videos, a relative path a line")
    parser.add_argument("--identities", type=Path, help="TSV with columns file and identity: who is in which video")
    parser.add_argument(
        "--split",
        default="0.8,0.1,0.1",
        help="shares of training, validation, test; by identity (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: %(default)s)")
    parser.add_argument("--allow-silent", action="store_true", help="keep videos without sound too")
    return parser


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0: every video was kept, 1: some were not, 2: it could not be run as asked."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.jobs < 1:
        raise ConfigError(f"--jobs {arguments.jobs}: wanted at least 1")
    if arguments.size < 64 or arguments.size % 2:
        raise ConfigError(f"--size {arguments.size}: wanted an even number of pixels, at least 64")
    rule = SplitRule.parse(arguments.split, arguments.seed)
    console = Console(stderr=True, highlight=False)
    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}")]
    with Progress(*columns, console=console) as bar:
        said = [0.0]
        task = bar.add_task("preparing", total=None, state="looking at what is there")

        def show(progress: runner.Progress) -> None:
            rate = progress.frames / max(progress.seconds, 1e-6)
            state = f"{progress.done}/{progress.total} videos, {rate:.0f} frames/s, {_minutes(progress.eta)} left"
            bar.update(task, total=progress.total, completed=progress.done, state=state)
            if not console.is_terminal and progress.seconds - said[0] >= LINE_EVERY:
                said[0] = progress.seconds
                console.print(state)

        report = prepare(
            arguments.videos,
            arguments.out,
            Options(size=arguments.size, allow_silent=arguments.allow_silent),
            rule=rule,
            jobs=arguments.jobs,
            include=arguments.include,
            identities=arguments.identities,
            on_progress=show,
        )
    _summary(console, report, arguments.out)
    return 0 if report.complete else 1


def _summary(console: Console, report: Report, out: Path) -> None:
    totals = report.as_json()["totals"]
    left_out = [outcome for outcome in report.outcomes if outcome.status != "kept"]
    if left_out:
        console.print(f"not kept, {len(left_out)} videos:")
        for outcome in left_out[:SHOWN]:
            console.print(f"  {outcome.source} ({outcome.step}): {outcome.reason}", markup=False, soft_wrap=True)
        if len(left_out) > SHOWN:
            console.print(f"  and {len(left_out) - SHOWN} more, see {out / 'report.json'}", markup=False)
    console.print(
        f"{totals['kept']} kept ({totals['frames'] / FPS / 60:.1f} minutes; "
        f"{totals['skipped_as_up_to_date']} were up to date), {totals['rejected']} rejected, "
        f"{totals['failed']} failed, in {_minutes(report.seconds)}"
    )
    sizes = ", ".join(
        f"{name} {len(ids)} clips of {report.identities[name]} people" for name, ids in report.splits.items()
    )
    console.print(f"{out}: {sizes}", markup=False, soft_wrap=True)
    people = sum(report.identities.values())
    if people and not report.splits["val"]:
        console.print(
            f"warning: the validation list is empty: the store holds {people} "
            f"{'person' if people == 1 else 'people'}, and none may be in two lists",
            markup=False,
            soft_wrap=True,
        )

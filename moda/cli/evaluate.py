"""`moda eval`: score generated videos against true ones, generating them first if they are ours."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from moda.cli.main import Parser, run, say_on
from moda.device import DEVICE_NAMES
from moda.locations import command, locate
from moda.printing import printable

EXIT_INCOMPLETE = 1
"""Exit code when the report is written but some pair could not be scored."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 all pairs scored, 1 some were not (the report says why), 2 a mistake in the call.

    With --check: 0 both files may be compared in full, 1 not, or not in full.
    """
    return run(_main, argv)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command("eval"),
        description="Score generated videos against the true ones of the same file name. Writes report.html with a "
        "page for each method, the table as table.md, .csv and .tex, clips.csv and scores.json; rows for the ground "
        "truth, the still mouth, the shifted truth and another clip's mouth are always there.",
        epilog="Exit code 0: all pairs scored. 1: some could not be, see table.md. 2: a mistake in the call.",
    )
    parser.add_argument("--config", type=Path, metavar="YAML", help="a test list, sets of checkpoints and settings")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one of its values")
    parser.add_argument("--true", type=Path, metavar="DIR", help="folder of true videos, or a clip store")
    parser.add_argument("--split", metavar="NAME", help="only this list (train, val, test) of the clip store")
    parser.add_argument(
        "--generated",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=DIR",
        help="a method's name in the table and its folder of videos (or of seed_0, seed_1 ...); may be given again",
    )
    parser.add_argument(
        "--outputs",
        nargs="+",
        action="extend",
        default=[],
        metavar="METHOD[:NAME]=DIR",
        help="what another project left in DIR, by its own names: wav2lip, sadtalker ... (docs/others.md)",
    )
    parser.add_argument("--output", type=Path, metavar="OUT", help="folder for the report")
    parser.add_argument("--reference", type=Path, metavar="PICTURE", help="portrait for what is generated here")
    parser.add_argument("--sync-weights", type=Path, metavar="FILE", help="published SyncNet weights")
    parser.add_argument(
        "--phonemes", metavar="FOLDER|hama", help="alignments, or the recogniser: for lips closed at p b m"
    )
    parser.add_argument("--protocol", type=Path, metavar="YAML", help="fixed clips, frames and networks")
    parser.add_argument("--handling", action="store_true", help="rows of the truth coded, cut and sampled otherwise")
    parser.add_argument(
        "--check", type=Path, nargs=2, metavar="SCORES", help="say whether two scores.json may be compared, and why not"
    )
    parser.add_argument("--speech", choices=("loudness", "silero"), help="how speech is told from silence")
    parser.add_argument("--quality-weights", type=Path, metavar="DIR", help="pyiqa's weights, for THEval's quality")
    parser.add_argument("--face-weights", type=Path, metavar="FILE", help="face recogniser, for CSIM")
    parser.add_argument("--perceptual-weights", type=Path, metavar="FILE", help="VGG19, VGG16 or SqueezeNet")
    parser.add_argument("--lip-weights", type=Path, metavar="FILE", help="lip reader, for LipScore")
    parser.add_argument("--fid-weights", type=Path, metavar="FILE", help="Inception as TorchScript")
    parser.add_argument("--fvd-weights", type=Path, metavar="FILE", help="I3D as TorchScript")
    parser.add_argument("--skip", nargs="+", action="extend", default=[], metavar="METRIC", help="leave metrics out")
    parser.add_argument("--device", choices=DEVICE_NAMES, help="for what is generated here")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes that track and score (default: 2)")
    return parser


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    # Imported here so that --help and mistakes in the call are answered at once.
    if options.check is not None:
        from moda.evaluation.check import check_text, compare, read_scores

        first, second = options.check
        found = compare(read_scores(first), read_scores(second))
        print(check_text((first, second), found))
        return 0 if found.whole else EXIT_INCOMPLETE
    from moda.evaluation.config import check_inputs, read_config

    config = read_config(options)
    printed = config.printed_table()
    animations = check_inputs(config)

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from moda.evaluation.evaluate import evaluate
    from moda.evaluation.report.cells import listed
    from moda.evaluation.report.records import write_report
    from moda.evaluation.report.tables import printed_text, table_text

    console = Console(stderr=True)
    say = say_on(console)

    columns = (
        TextColumn("{task.fields[part]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        tasks = {}

        def progress(part: str, done: int, total: int, name: str) -> None:
            if part not in tasks:
                tasks[part] = bar.add_task("", total=total, part=printable(part))
            bar.update(tasks[part], completed=done, total=total, description=printable(name))

        folders = {name: locate(path) for name, path in config.generated.items()}
        if animations:
            from moda.evaluation.generate import generate_sets  # loads torch

            folders |= generate_sets(config, animations, progress, say)
        evaluation = evaluate(
            locate(config.truth),
            folders,
            config.output,
            split=config.split,
            jobs=config.jobs,
            skip=config.skip,
            settings=config.metric_settings(),
            protocol=config.fixed_protocol(),
            handling=config.handling,
            outputs={spec: locate(folder) for spec, folder in config.outputs.items()},
            progress=progress,
        )
    start = time.perf_counter()
    paths = write_report(evaluation, config.output, printed)
    evaluation.seconds["report"] = time.perf_counter() - start
    print(table_text(evaluation))
    if printed is not None:
        print(f"\n{printed_text(printed)}")
    _, refused, _ = listed(evaluation)
    for line in refused:
        say(f"not scored: {line}")
    for remark in evaluation.remarks:
        say(f"remark: {remark}")
    say("seconds: " + ", ".join(f"{part} {seconds:.1f}" for part, seconds in evaluation.seconds.items()))
    say("wrote " + ", ".join(str(path) for path in paths))
    return 0 if evaluation.complete else EXIT_INCOMPLETE

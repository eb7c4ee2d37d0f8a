"""`moda study make` and `moda study analyse`: a user study of videos by several methods."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from moda.cli.main import Parser, positive, run, say_on
from moda.locations import command
from moda.printing import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the study; returns the exit code."""
    return run(_main, argv)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=command("study"), description="A user study: a page that people answer, and its analysis.")
    parts = parser.add_subparsers(dest="part", required=True, metavar="make|analyse", parser_class=Parser)
    make = parts.add_parser("make", help="a page that shows the videos blind and in random order, and its private key")
    make.add_argument(
        "methods", nargs="+", metavar="NAME=DIR", help="a method and its folder; a clip's files have one name"
    )
    make.add_argument("--output", type=Path, required=True, metavar="STUDY", help="new folder for page/ and key.json")
    make.add_argument("--truth", metavar="NAME", help="the method that is the true recordings")
    make.add_argument(
        "--controls", type=int, metavar="N", help="true videos with another clip's sound (with --truth: 2)"
    )
    make.add_argument("--participants", type=positive, default=48, metavar="N", help="different orders (default: 48)")
    make.add_argument("--clips", type=int, metavar="N", help="clips that a participant sees (default: all)")
    make.add_argument("--pairs", type=int, metavar="N", help="pairs that he compares (default: as many as clips)")
    make.add_argument("--seed", type=int, default=0, metavar="N", help="of orders and names")
    make.add_argument(
        "--consent", type=Path, metavar="TXT", help="what participants agree to, in the place of our text"
    )
    analyse = parts.add_parser("analyse", help="opinions, preferences and agreement of the files that people sent")
    analyse.add_argument("study", type=Path, metavar="STUDY", help="the folder that `make` wrote")
    analyse.add_argument(
        "answers", type=Path, nargs="+", metavar="ANSWERS", help="files of answers, or folders of them"
    )
    analyse.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the tables")
    analyse.add_argument("--keep-failing", action="store_true", help="count participants who failed a control, too")
    return parser


def _main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    return _make(options) if options.part == "make" else _analyse(options)


def _make(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from moda.evaluation.folders import parse_named_folders
    from moda.reading import read_text
    from moda.study.make import CONSENT, Plan, make_study

    consent = CONSENT if options.consent is None else read_text(options.consent, what="the consent text ")
    plan = Plan(
        parse_named_folders(options.methods, option="moda study make"),
        truth=options.truth,
        controls=options.controls,
        participants=options.participants,
        clips_each=options.clips,
        pairs_each=options.pairs,
        seed=options.seed,
        consent=consent,
    )
    console = Console(stderr=True)
    with Progress(console=console) as bar:
        task = bar.add_task("copying videos", total=None)
        count = make_study(
            plan, options.output, say_on(console), lambda n, total: bar.update(task, completed=n, total=total)
        )
    page, key = options.output / "page", options.output / "key.json"
    print(printable(f"{count} videos; host {page}, open {page / 'index.html'}; keep {key} to yourself"))
    return 0


def _analyse(options: argparse.Namespace) -> int:
    from moda.study.analysis import analyse
    from moda.study.answers import find_answers, read_answers
    from moda.study.key import read_key
    from moda.study.results import table_text, write_results

    key = read_key(options.study)
    results = analyse(key, read_answers(find_answers(options.answers), key, keep_failing=options.keep_failing))
    paths = write_results(results, options.output)
    print(table_text(results))
    print(printable("wrote " + ", ".join(map(str, paths))), file=sys.stderr)
    return 0

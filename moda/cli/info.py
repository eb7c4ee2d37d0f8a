"""`moda info FILE ...`: what checkpoints, videos, motion files, pictures and clip stores hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from moda.cli.main import Parser, run
from moda.errors import ModaError
from moda.locations import command
from moda.printing import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of info; returns the exit code."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = Parser(
        prog=command("info"),
        description="What a file is and who made it: checkpoints, videos (with the record of their making), motion "
        "files, audio, pictures, clips and clip stores.",
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="FILE", help="file, folder, or a checkpoint that ships")
    parser.add_argument("--json", action="store_true", help="one JSON object a file, a line each")
    arguments = parser.parse_args(argv)

    from moda.inspection import inspect, lines

    failed = 0
    for path in arguments.paths:
        try:
            facts = inspect(path)
        except ModaError as error:
            print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
            failed = error.exit_code
            continue
        print(json.dumps(facts, default=str) if arguments.json else "\n".join([*lines(facts), ""]))
    return failed

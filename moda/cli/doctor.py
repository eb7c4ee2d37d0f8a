"""`moda doctor`: whether this installation works, and what to do where it does not."""

from __future__ import annotations

from collections.abc import Sequence

from moda.cli.main import Parser, run
from moda.device import DEVICE_NAMES
from moda.locations import command


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of doctor; returns the exit code: 1 if there is a problem."""
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = Parser(
        prog=command("doctor"),
        description="Look at Python, libraries, devices, media, models, and animate two seconds. Prints a text to "
        "paste into a report; every problem comes with its cure. Exit code 1 if there is one.",
    )
    parser.add_argument("--device", choices=DEVICE_NAMES, default="auto", help="of the two seconds")
    parser.add_argument("--no-self-test", action="store_true", help="leave the two seconds out")
    arguments = parser.parse_args(argv)

    from moda.doctor.environment import environment
    from moda.doctor.findings import block
    from moda.doctor.libraries import libraries
    from moda.doctor.models import models
    from moda.doctor.self_test import self_test

    findings = [*environment(), *libraries(), *models()]
    if not arguments.no_self_test:
        findings.append(self_test(arguments.device))
    print(block(findings))
    return 1 if any(finding.problem for finding in findings) else 0

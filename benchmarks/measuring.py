"""What the benchmarks of speed share: a `moda` command measured as a whole process, and how figures are printed."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]


class ProcessRun(NamedTuple):
    """What a program printed, its wall seconds, CPU seconds of all threads and children, and peak memory in MiB."""

    output: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


def run_moda(arguments: Sequence[str | Path], codes: Collection[int] = (0,)) -> ProcessRun:
    """Run `moda` of this checkout; ends the program with its output if the exit code is not one of `codes`."""
    command = [sys.executable, "-m", "moda", *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        output = log.read()
    if process.returncode not in codes:
        raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}:\n{output}")
    peak = usage.ru_maxrss / (1024 if sys.platform == "linux" else 2**20)
    return ProcessRun(output, round(seconds, 2), round(usage.ru_utime + usage.ru_stime, 2), round(peak, 1))


def cpu_seconds() -> float:
    """CPU time of this process and of its finished children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_megabytes() -> float:
    """Peak of this process's resident memory since it was started (unlike getrusage's, not its parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status holds no VmHWM")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with `--json`, described by a module's docstring."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return made


def show(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *notes: str) -> None:
    """Print a table, the first column to the left, with the machine's load and notes below it."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(str, row))
    console = Console(highlight=False)
    console.print(table)
    for note in (*notes, f"{os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.2f}"):
        console.print(note, soft_wrap=True)


def finish(record: dict[str, Any], options: argparse.Namespace) -> int:
    """Print the record as JSON if that was requested; the exit code."""
    if options.json:
        print(json.dumps({**record, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}))
    return 0

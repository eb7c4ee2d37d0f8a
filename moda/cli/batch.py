"""Many videos in one process: models are loaded once, a failure ends its own job, what was made before is kept."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moda.animation import InferenceConfig
from moda.cli.animate import bar
from moda.device import DeviceName, choose_device, describe_device
from moda.errors import ModaError
from moda.files import write_text
from moda.jobs.job_list import Row
from moda.jobs.making import Models, make_unless_made, unwatched
from moda.printing import csv_text

SUMMARY = "jobs_summary.csv"
MADE, BEFORE, FAILED = "made", "made before", "failed"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a row. seconds: of work."""

    row: Row
    status: str
    seconds: float = 0.0
    error: str = ""


def run_batch(rows: Sequence[Row], config: InferenceConfig, device_name: DeviceName, folder: Path) -> int:
    """Do the jobs in order and write a summary into `folder`; returns 0, or 1 if one failed.

    A video that stands there already and states the same inputs, settings and checkpoints is not made again.
    """
    device = choose_device(device_name)
    print(f"device: {describe_device(device)}, {len(rows)} jobs", flush=True)
    models = Models(config, device)
    outcomes: list[Outcome] = []
    try:
        for number, row in enumerate(rows, 1):
            outcome = _outcome(row, models)
            outcomes.append(outcome)
            name = row.job.output if row.job else row.place
            print(f"{number}/{len(rows)} {outcome.status}: {name}{_duration(outcome)}", flush=True)
            if outcome.error:
                print(f"  {row.place}: {outcome.error}", flush=True)
    finally:
        _summarise(outcomes, len(rows), folder)
    return 1 if any(outcome.status == FAILED for outcome in outcomes) else 0


def _outcome(row: Row, models: Models) -> Outcome:
    if row.job is None:
        return Outcome(row, FAILED, error=row.problem or "")
    begun = time.perf_counter()
    try:
        made = make_unless_made(row.job, models, bar if sys.stderr.isatty() else unwatched)
    except (ModaError, OSError) as error:
        return Outcome(row, FAILED, time.perf_counter() - begun, " ".join(str(error).split()))
    except Exception as error:  # a defect, or no memory: the other jobs need not suffer
        log.exception("%s: a defect of this program, please report it", row.place)
        return Outcome(row, FAILED, time.perf_counter() - begun, f"{type(error).__name__}: {error}")
    return Outcome(row, MADE if made else BEFORE, time.perf_counter() - begun)


def _duration(outcome: Outcome) -> str:
    return f" ({outcome.seconds:.1f} s)" if outcome.status == MADE else ""


def _summarise(outcomes: Sequence[Outcome], wanted: int, folder: Path) -> None:
    counts = {status: sum(each.status == status for each in outcomes) for status in (MADE, BEFORE, FAILED)}
    left = wanted - len(outcomes)
    parts = [f"{count} {status}" for status, count in counts.items() if count] + ([f"{left} not begun"] if left else [])
    print(f"{wanted} jobs: {', '.join(parts)}")
    lines: list[tuple[object, ...]] = [("job", "status", "output", "seconds", "error")]
    for each in outcomes:
        output = each.row.job.output if each.row.job else ""
        lines.append((each.row.place, each.status, output, f"{each.seconds:.1f}", each.error))
    write_text(folder / SUMMARY, csv_text(lines))
    print(f"summary: {folder / SUMMARY}")

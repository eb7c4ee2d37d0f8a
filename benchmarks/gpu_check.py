"""Everything that needs a GPU, in one run of at most five minutes, for a machine that is lent for so long.

The tests marked `gpu`, `benchmarks.training` where there is one, and `benchmarks.inference` at 256 and 512 px, each as
a process of its own that is ended when the time is up; then one table. Its full output goes to --output. With --device
cpu the script itself is tried: the tests skip, and the smallest configurations are trained.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measuring import ROOT, finish, parser, show
from moda.cli.main import run
from moda.device import choose_device, describe_device

LIMIT_S = 290.0
"""Seconds of all steps together."""
STEP_LIMITS = {"tests": 0.4, "inference": 0.25, "training": 1.0}
"""The most of them that a step may take; training has what the others leave."""
SIZES_PX = (256, 512)
ON_CPU = ("debug/audio2repr_paper", "debug/faco", "debug/renderer", "--steps", "2", "--seconds", "10")
"""What is trained with --device cpu, where a step of the paper's configurations takes minutes."""


class Step(NamedTuple):
    """What is run, and the most seconds that it may take."""

    name: str
    arguments: list[str]
    limit_s: float


class Outcome(NamedTuple):
    """What came of a step: "ok" or what went wrong, seconds, and its figures in a line."""

    name: str
    result: str
    seconds: float
    figures: str


def steps(device: str, seconds: float, limit_s: float) -> list[Step]:
    """seconds: of audio for inference. limit_s: of all steps together."""
    marked = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/**/test_*.py")) if _marked(path)]
    found = [Step("tests", ["pytest", "-m", "gpu", *marked], STEP_LIMITS["tests"] * limit_s)]
    for size in SIZES_PX:
        arguments = ["--device", device, "--size", str(size), "--json", "--seconds", f"{seconds:g}"]
        limit = STEP_LIMITS["inference"] * limit_s
        found.append(Step(f"inference, {size} px", ["benchmarks.inference", *arguments], limit))
    if (ROOT / "benchmarks" / "training.py").exists():
        arguments = ["benchmarks.training", "--device", device, "--json", *(ON_CPU if device == "cpu" else ())]
        found.append(Step("training", arguments, STEP_LIMITS["training"] * limit_s))
    return found


def _marked(path: Path) -> bool:
    return "pytest.mark.gpu" in path.read_text()


def outcome(step: Step, deadline: float, log: Path) -> Outcome:
    """Run a step until its limit or the deadline."""
    begin = time.monotonic()
    limit = min(step.limit_s, deadline - begin)
    if limit <= 0:
        return Outcome(step.name, "no time left", 0.0, "")
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *step.arguments],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            process.wait()
            code = None
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    print("\n".join(lines), flush=True)
    result = f"ended after {limit:.0f} s" if code is None else "ok" if code == 0 else f"failed, code {code}"
    return Outcome(step.name, result, round(time.monotonic() - begin, 1), figures(lines[-1]))


def figures(line: str) -> str:
    """The figures of a step's last line: of a record of `benchmarks.inference`, or the line itself."""
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError:
        return line[:100]
    if record.get("benchmark") != "inference":
        return "see above"
    parts = [f"warp {name} {found['frames_per_second']:.0f} frames/s" for name, found in record["rendering"].items()]
    for seconds, measured in record["runs"].items():
        rate = measured["frames"] / measured["stages"]["rendering+encoding"]
        parts.append(f"{seconds} s of audio, with encoding, {rate:.0f} frames/s")
    return "; ".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    options = parser(__doc__)
    options.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="(default: %(default)s)")
    options.add_argument("--seconds", type=float, default=20.0, help="of audio for inference (default: %(default)s)")
    options.add_argument("--output", type=Path, default=Path("gpu_check"), help="folder of logs (default: %(default)s)")
    options.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of all steps (default: %(default)g)")
    chosen = options.parse_args(argv)
    device = describe_device(choose_device(chosen.device))
    deadline = time.monotonic() + chosen.limit
    chosen.output.mkdir(parents=True, exist_ok=True)
    outcomes = [
        outcome(step, deadline, chosen.output / f"{step.name.replace(', ', '_').replace(' ', '_')}.txt")
        for step in steps(chosen.device, chosen.seconds, chosen.limit)
    ]
    show(
        f"check of {device}",
        ["step", "result", "seconds", "figures"],
        outcomes,
        "aims of inference: 200 frames/s at 256 px, 96 at 512 px",
    )
    finish({"benchmark": "gpu_check", "device": device, "steps": [each._asdict() for each in outcomes]}, chosen)
    return 0 if all(each.result == "ok" for each in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Everything that needs a GPU, in one run of at most five minutes, for a machine that is lent for so long.

Each part is a process of its own, which is ended when its time is up; one that fails does not stop the others. What
comes out is one table: what was looked at, the aim, what was measured, whether it is met. Full output goes to --output.
With --device cpu the script itself is tried: the tests skip, the smallest configurations train, and no aim counts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from benchmarks.measuring import ROOT, finish, parser, show
from moda.cli.main import run
from moda.device import choose_device, describe_device

LIMIT_S = 290.0
"""Seconds of all parts together."""
STEPS_A_SECOND = {"paper/renderer": 30.0, "paper/audio2repr": 5.0}
"""Aims of training on an H100 or H200 in bf16, at the configurations' batches."""
FRAMES_A_SECOND = {256: 200.0, 512: 96.0}
"""Aims of rendering on one GPU, by the side of the video in pixels."""
LOADER_SHARE = 0.9
"""Of what its loader gives alone, FaCo-Net is to train on."""


class Row(NamedTuple):
    """A line of the table. met: None where there is no aim, or none that counts on this device."""

    what: str
    aim: str
    measured: str
    met: bool | None = None


class Part(NamedTuple):
    """A program, the most seconds that it may take, and how its rows are read: from its last line, and its folder."""

    name: str
    arguments: list[str]
    limit_s: float
    read: Callable[[str, Path], list[Row]]


def parts(device: str, seconds: float, limit_s: float, output: Path) -> list[Part]:
    """seconds: of audio for inference. limit_s: of all parts together; what decides comes first."""
    store = output / "store"
    found = [Part("store", ["benchmarks.training_data", str(store)], 0.2 * limit_s, lambda *_: [])]
    if device == "cpu":
        trained = [("debug/audio2repr_paper", "fp32", ()), ("debug/faco", "bf16", ()), ("debug/renderer", "fp32", ())]
        pace = ["--steps", "2", "--seconds", "10", "--workers", "0"]
    else:
        layout = ("--set", "trainer.channels_last=true")
        trained = [("paper/renderer", "bf16", layout), ("paper/audio2repr", "bf16", ()), ("paper/faco", "bf16", ())]
        pace = ["--steps", "40", "--seconds", "10"]
    found += [_training(*each, device, [*pace, "--store", str(store)], limit_s) for each in trained]
    for size in FRAMES_A_SECOND:
        arguments = ["--device", device, "--size", str(size), "--json", "--seconds", f"{seconds:g}"]
        found.append(Part(f"inference_{size}", ["benchmarks.inference", *arguments], 0.2 * limit_s, inference_rows))
    marked = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/**/test_*.py")) if _marked(path)]
    report = f"--junitxml={output / 'tests' / REPORT}"
    found.append(Part("tests", ["pytest", "-q", "-n", "4", "-m", "gpu", report, *marked], 0.4 * limit_s, rows_of_tests))
    if device == "cuda":
        other = [("paper/renderer", "fp32", ()), ("paper/faco", "fp32", ()), ("default/renderer", "bf16", ())]
        other += [("paper/renderer", "fp16", layout), ("default/faco", "bf16", ("--compile",))]
        found += [_training(*each, device, [*pace, "--store", str(store)], limit_s) for each in other]
    return found


def _training(
    config: str, precision: str, settings: Sequence[str], device: str, pace: Sequence[str], limit_s: float
) -> Part:
    arguments = ["benchmarks.training", config, "--device", device, "--precision", precision, "--json"]
    name = f"training_{config.replace('/', '_')}_{precision}{''.join(settings).replace('--', '_').partition('set')[0]}"
    return Part(name, [*arguments, *pace, *settings], 0.25 * limit_s, training_rows)


def _marked(path: Path) -> bool:
    return "pytest.mark.gpu" in path.read_text()


def training_rows(line: str, _: Path) -> list[Row]:
    """Of the record of `benchmarks.training`, of one configuration."""
    record = json.loads(line)
    (name, row), precision = next(iter(record["rows"].items())), record["precision"]
    what = f"{name}, {precision}{', compiled' * record['compiled']}"
    pace, aim = row["steps_per_s"], STEPS_A_SECOND.get(name) if precision == "bf16" else None
    counts = row["device"].startswith("cuda")
    busy = "" if row["busy"] is None else f"GPU busy {row['busy']:.0%}, "
    cost = f"{busy}waiting {row['waiting']:.0%}, {row['peak_mib']:,.0f} MiB, {row['matmul_share']:.0%} of matmul rate"
    loaded = f"{row['loader_samples_per_s']:.3g} samples/s, training {row['samples_per_s']:.3g}"
    rows = [
        Row(f"{what}: steps/s", f">= {aim:g}" if aim else "", f"{pace:.3g}", pace >= aim if aim and counts else None),
        Row(f"{what}: cost", "", cost),
        Row(f"{what}: loader alone", "", loaded),
    ]
    if name.endswith("faco"):
        share = row["samples_per_s"] / row["loader_samples_per_s"]
        met = share >= LOADER_SHARE if counts else None
        rows.append(Row(f"{what}: training / loader", f">= {LOADER_SHARE}", f"{share:.2f}", met))
    if row["paper"] is not None:
        rows.append(Row(f"{what}: hours", f"paper {row['paper']} on an RTX 3090", f"{row['hours']:.2g}"))
    return rows


def inference_rows(line: str, _: Path) -> list[Row]:
    """Of the record of `benchmarks.inference`."""
    record = json.loads(line)
    size, counts = record["size"], record["device"] == "cuda"
    place, best = max(record["rendering"].items(), key=lambda item: item[1]["frames_per_second"])
    rate, aim = best["frames_per_second"], FRAMES_A_SECOND[size]
    met = rate >= aim if counts else None
    rows = [Row(f"rendering at {size} px, frames/s", f">= {aim:g}", f"{rate:.0f} (warp {place})", met)]
    for seconds, measured in record["runs"].items():
        encoded = measured["frames"] / measured["stages"]["rendering+encoding"]
        rows.append(Row(f"{seconds} s of audio at {size} px, with encoding", "", f"{encoded:.0f} frames/s"))
    return rows


REPORT = "report.xml"


def rows_of_tests(_: str, folder: Path) -> list[Row]:
    """A row a test function: how many of its cases passed, and what the first that did not says."""
    cases: dict[str, list[str]] = defaultdict(list)
    for case in ElementTree.parse(folder / REPORT).iter("testcase"):
        trouble = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
        said = "" if trouble is None else f"{trouble.tag}: {trouble.get('message', '')}".splitlines()[0][:120]
        cases[str(case.get("name")).partition("[")[0]].append(said)
    rows = []
    for name, said in cases.items():
        passed, others = said.count(""), [each for each in said if each]
        skipped = all(each.startswith("skipped") for each in said)
        text = f"{passed} of {len(said)}{': ' + others[0] if others else ''}"
        rows.append(Row(name, "all pass", text, None if skipped else not others))
    return rows


def outcome(part: Part, deadline: float, folder: Path) -> list[Row]:
    """Run a part until its limit or the deadline; its rows, or one that says what went wrong."""
    begin = time.monotonic()
    limit = min(part.limit_s, deadline - begin)
    if limit <= 0:
        return [Row(part.name, "", "no time left", met=False)]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "output.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *part.arguments],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            process.wait()
            code = None
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    print("\n".join(lines), flush=True)
    ended = f"ended after {limit:.0f} s" if code is None else f"failed, code {code}: {lines[-1][:100]}" if code else ""
    try:
        rows = part.read(lines[-1], folder)
    except Exception as error:  # of a part that broke off there may be nothing, or half of something
        rows, ended = [], ended or f"unreadable: {type(error).__name__}: {error}"
    return [*rows, *([Row(part.name, "", ended, met=False)] if ended else [])]


def main(argv: Sequence[str] | None = None) -> int:
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    options = parser(__doc__)
    options.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="(default: %(default)s)")
    options.add_argument("--seconds", type=float, default=20.0, help="of audio for inference (default: %(default)s)")
    options.add_argument("--output", type=Path, default=Path("gpu_check"), help="folder of logs (default: %(default)s)")
    options.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of all parts (default: %(default)g)")
    chosen = options.parse_args(argv)
    os.environ.setdefault("COLUMNS", "160")
    device = describe_device(choose_device(chosen.device))
    deadline, output = time.monotonic() + chosen.limit, chosen.output.absolute()
    found: list[tuple[Row, float]] = []
    for part in parts(chosen.device, chosen.seconds, chosen.limit, output):
        began = time.monotonic()
        rows = outcome(part, deadline, output / part.name)
        found += [(row, time.monotonic() - began if number == 0 else 0.0) for number, row in enumerate(rows)]
    words = {True: "yes", False: "NO", None: "-"}
    cells = [(*row[:3], words[row.met], f"{seconds:.0f}" if seconds else "") for row, seconds in found]
    show(f"check of {device}", ["what", "aim", "measured", "met", "seconds"], cells)
    record: dict[str, Any] = {"benchmark": "gpu_check", "device": device, "rows": [row._asdict() for row, _ in found]}
    finish(record, chosen)
    return 1 if any(row.met is False for row, _ in found) else 0


if __name__ == "__main__":
    sys.exit(main())

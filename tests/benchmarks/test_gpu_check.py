"""The script for a lent GPU: what becomes of its steps."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from benchmarks.gpu_check import ON_CPU, Step, figures, outcome, steps
from benchmarks.measuring import ROOT


@pytest.mark.parametrize(
    ("arguments", "limit_s", "result"),
    [
        (["timeit", "-n", "1", "-r", "1", "1"], 60, "ok"),
        (["timeit", "nothing"], 60, "failed, code 1"),
        (["timeit", "-n", "1", "import time; time.sleep(60)"], 0.5, "ended after 0 s"),
    ],
)
def test_a_step_ends_and_says_how(arguments: list[str], limit_s: float, result: str, tmp_path: Path) -> None:
    begin = time.monotonic()
    found = outcome(Step("step", arguments, limit_s), begin + 100, tmp_path / "log.txt")
    assert found.result == result
    assert found.seconds < 55
    assert ("1 loop" in found.figures) == (result == "ok")


def test_after_the_deadline_nothing_is_started(tmp_path: Path) -> None:
    assert outcome(Step("step", ["nothing"], 9), time.monotonic() - 1, tmp_path / "log.txt").result == "no time left"
    assert not (tmp_path / "log.txt").exists()


def test_figures_of_a_record_are_one_line() -> None:
    record = {
        "benchmark": "inference",
        "rendering": {"on the host": {"frames_per_second": 80.4}, "on the device": {"frames_per_second": 221.0}},
        "runs": {"20": {"frames": 500, "stages": {"rendering+encoding": 2.5}}},
    }
    expected = (
        "warp on the host 80 frames/s; warp on the device 221 frames/s; 20 s of audio, with encoding, 200 frames/s"
    )
    assert figures(json.dumps(record)) == expected
    assert figures("14 passed in 3 s") == "14 passed in 3 s"


def test_a_cpu_trains_what_it_can() -> None:
    on_cpu, on_gpu = (
        next(s.arguments for s in steps(device, 1, 100) if s.name == "training") for device in ("cpu", "cuda")
    )
    assert set(ON_CPU) <= set(on_cpu) and not set(ON_CPU) & set(on_gpu)
    assert all((ROOT / "configs" / f"{name}.yaml").is_file() for name in ON_CPU if name.startswith("debug/"))


def test_every_file_of_tests_for_a_gpu_is_run() -> None:
    tests = steps("cpu", 1, 100)[0].arguments
    assert {"tests/training/test_devices.py", "tests/imaging/test_batch_warping.py"} <= set(tests)
    assert all((ROOT / path).exists() for path in tests if path.startswith("tests/"))

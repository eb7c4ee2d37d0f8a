"""The script for a lent GPU: what becomes of its parts, and the rows of its table."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_check
from benchmarks.gpu_check import Part, Row, inference_rows, outcome, parts, rows_of_tests, training_rows
from benchmarks.measuring import ROOT

TRAINED: dict[str, Any] = {
    "device": "cuda (NVIDIA H100)", "steps_per_s": 31.0, "samples_per_s": 124.0, "loader_samples_per_s": 150.0,
    "busy": 0.9, "waiting": 0.01, "peak_mib": 9000, "matmul_share": 0.4, "hours": 1.3, "paper": 6,
}  # fmt: skip


def told(line: str, _: Path) -> list[Row]:
    return [Row("told", "", line)] if line.startswith("1 loop") else []


@pytest.mark.parametrize(
    ("arguments", "limit_s", "said"),
    [
        (["timeit", "-n", "1", "-r", "1", "1"], 60, None),
        (["timeit", "nothing"], 60, "failed, code 1: NameError: name 'nothing' is not defined"),
        (["timeit", "-n", "1", "import time; time.sleep(60)"], 0.5, "ended after 0 s"),
    ],
)
def test_a_part_ends_and_says_how(arguments: list[str], limit_s: float, said: str | None, tmp_path: Path) -> None:
    begin = time.monotonic()
    found = outcome(Part("part", arguments, limit_s, told), begin + 100, tmp_path)
    if said is None:
        assert found[0].what == "told" and len(found) == 1
    else:
        assert found == [Row("part", "", said, met=False)]
    assert time.monotonic() - begin < 55


def test_what_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    part = Part("part", ["timeit", "-n", "1", "-r", "1", "1"], 60, training_rows)
    (row,) = outcome(part, time.monotonic() + 100, tmp_path)
    assert row.measured.startswith("unreadable: JSONDecodeError") and row.met is False


def test_after_the_deadline_nothing_is_started(tmp_path: Path) -> None:
    (row,) = outcome(Part("part", ["nothing"], 9, told), time.monotonic() - 1, tmp_path / "part")
    assert row == Row("part", "", "no time left", met=False)
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize(
    ("change", "precision", "met"),
    [({}, "bf16", True), ({"steps_per_s": 29.0}, "bf16", False), ({}, "fp32", None), ({"device": "cpu"}, "bf16", None)],
)
def test_training_is_held_against_its_aim(change: dict[str, Any], precision: str, met: bool | None) -> None:
    rows = {"paper/renderer": TRAINED | change}
    record = json.dumps({"precision": precision, "compiled": False, "rows": rows})
    found = training_rows(record, Path())
    assert found[0].what == f"paper/renderer, {precision}: steps/s" and found[0].met is met
    assert found[0].aim == (">= 30" if precision == "bf16" else "")
    assert found[-1] == Row(f"paper/renderer, {precision}: hours", "paper 6 on an RTX 3090", "1.3")


@pytest.mark.parametrize(("pace", "met"), [(124.0, False), (140.0, True)])
def test_faco_is_held_against_its_loader(pace: float, met: bool) -> None:
    rows = {"paper/faco": TRAINED | {"samples_per_s": pace}}
    found = training_rows(json.dumps({"precision": "bf16", "compiled": False, "rows": rows}), Path())
    assert [row.met for row in found if "/ loader" in row.what] == [met]


@pytest.mark.parametrize(("size", "met"), [(256, True), (512, True)])
def test_rendering_is_held_against_its_aim(size: int, met: bool) -> None:
    rates = {"on the host": {"frames_per_second": 80.4}, "on the device": {"frames_per_second": 221.0}}
    runs = {"20": {"frames": 500, "stages": {"rendering+encoding": 2.5}}}
    record = {"size": size, "device": "cuda", "rendering": rates, "runs": runs}
    first, second = inference_rows(json.dumps(record), Path())
    assert first.measured == "221 (warp on the device)" and first.met is met
    assert second.measured == "200 frames/s"
    assert inference_rows(json.dumps(record | {"device": "cpu"}), Path())[0].met is None


def test_a_row_a_test_function(tmp_path: Path) -> None:
    cases = "<testcase name='a[1]'/><testcase name='a[2]'><failure message='off by 2&#10;x'/></testcase>"
    cases += "<testcase name='b'/><testcase name='c'><skipped message='needs a CUDA GPU'/></testcase>"
    (tmp_path / gpu_check.REPORT).write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert rows_of_tests("", tmp_path) == [
        Row("a", "all pass", "1 of 2: failure: off by 2", met=False),
        Row("b", "all pass", "1 of 1", met=True),
        Row("c", "all pass", "0 of 1: skipped: needs a CUDA GPU", met=None),
    ]


def test_every_configuration_and_every_file_of_tests_is_there(tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        found = parts(device, 1, 100, tmp_path)
        assert len({part.name for part in found}) == len(found)
        trained = [part.arguments[1] for part in found if part.arguments[0] == "benchmarks.training"]
        assert trained and all((ROOT / "configs" / f"{name}.yaml").is_file() for name in trained)
        (tests,) = (part.arguments for part in found if part.name == "tests")
        assert {"tests/training/test_devices.py", "tests/imaging/test_batch_warping.py"} <= set(tests)
        assert all((ROOT / path).exists() for path in tests if path.startswith("tests/"))

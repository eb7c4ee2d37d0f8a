"""Speed of training, a configuration a column, and what the paper's schedule would take on this device.

Without --store a store of short clips is made and removed again; it fits into memory, so loading is at its best. Each
configuration is a process of its own: some steps to warm up, then --steps of them or what --seconds allow. Waiting is
the time in which no batch was there; the loader alone gives batches to nobody; busy is the share of the time in which
the GPU computed (n/a on a CPU); the rate is that of the step's multiplications (torch's count of matrices and
convolutions) over that of one large matrix product on this device at the same precision. Hours are the configured steps
at the measured pace, without validation. Weights are random, as speed does not depend on them; where the paper's are
fetched and partly frozen, they are trained.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import ROOT, finish, parser, peak_megabytes, show

CONFIGS = ("paper/audio2repr", "paper/faco", "paper/renderer", "default/faco", "default/renderer")
PAPER_HOURS = {"paper/audio2repr": 30, "paper/faco": 2, "paper/renderer": 6}
"""What the paper tells of its RTX 3090."""
RANDOM_START = {
    "paper/audio2repr": ["network.wav2vec.pretrained=null", "network.wav2vec.freeze_cnn=false"],
}
WARM_UP_STEPS, PROFILED_STEPS = 3, 3
MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
FIGURES = {
    "steps_per_s": "steps/s", "samples_per_s": "samples/s", "loader_samples_per_s": "loader alone, samples/s",
    "waiting": "waiting", "busy": "GPU busy",
    "peak_mib": "peak MiB", "matmul_share": "of matmul rate", "steps": "steps",
    "hours": "hours", "paper": "paper's hours",
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("configs", nargs="*", default=CONFIGS, help=f"(default: {' '.join(CONFIGS)})")
    options.add_argument("--store", type=Path, help="a clip store (default: one is made and removed)")
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
    options.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="(default: %(default)s)")
    options.add_argument("--compile", action="store_true", help="compile the networks")
    options.add_argument("--workers", type=int, help="loading processes (default: the configuration's)")
    options.add_argument("--steps", type=int, default=20, help="to measure (default: %(default)s)")
    options.add_argument("--seconds", type=float, default=60.0, help="at the most, a row (default: %(default)s)")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of all")
    options.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args(argv)
    if chosen.one:
        print(json.dumps(measure(chosen.configs[0], chosen)))
        return 0
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as folder:
        if chosen.store is None:
            from benchmarks.training_data import make_filmed_store

            chosen.store = make_filmed_store(Path(folder) / "store").root
        rows = {name: measure_apart(name, chosen) for name in chosen.configs}
    cells = [[title, *(_cell(key, row[key]) for row in rows.values())] for key, title in FIGURES.items()]
    title = f"training, {next(iter(rows.values()))['device']}, {chosen.precision}{', compiled' * chosen.compile}"
    show(title, ["", *rows], cells)
    record = {"benchmark": "training", "precision": chosen.precision, "compiled": chosen.compile, "rows": rows}
    return finish(record, chosen)


def measure_apart(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a process of its own."""
    words = [name, "--one", "--store", chosen.store, "--device", chosen.device, "--precision", chosen.precision]
    words += ["--steps", chosen.steps, "--seconds", chosen.seconds, *(["--compile"] if chosen.compile else [])]
    words += ["--workers", chosen.workers] if chosen.workers is not None else []
    words += [word for each in chosen.set for word in ("--set", each)]
    command = [sys.executable, "-m", "benchmarks.training", *map(str, words)]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {run.returncode}:\n{run.stderr}")
    row: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return row


def measure(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Figures of one configuration; see the module's docstring."""
    import torch

    from moda.device import describe_device

    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as folder:
        counted = _trainer(name, chosen, Path(folder), compiled=False)
        operations = _operations_a_step(counted)
        trainer = _trainer(name, chosen, Path(folder), compiled=True) if chosen.compile else counted
        device, settings = trainer.runtime.device, trainer.config.trainer
        batches = _Timed(iter(trainer.start()))
        for _ in range(WARM_UP_STEPS):
            trainer.update(batches)
        _wait(device)
        batches.seconds, steps, began = 0.0, 0, time.perf_counter()
        while steps < chosen.steps and (steps == 0 or time.perf_counter() - began < chosen.seconds):
            trainer.update(batches)
            steps += 1
        _wait(device)
        seconds = time.perf_counter() - began
        busy = _busy_share(trainer, batches) if device.type == "cuda" else None
        cuda_mib = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
        loaded = _loader_pace(trainer, chosen) * settings.batch
    pace = steps / seconds
    return {
        "device": describe_device(device),
        "steps_per_s": pace,
        "samples_per_s": pace * settings.batch * settings.accumulate,
        "loader_samples_per_s": loaded,
        "waiting": batches.seconds / seconds,
        "busy": busy,
        "peak_mib": peak_megabytes() if cuda_mib is None else cuda_mib,
        "matmul_share": pace * operations / _matmul_rate(device, chosen.precision),
        "steps": settings.steps,
        "hours": settings.steps / pace / 3600,
        "paper": PAPER_HOURS.get(name),
    }


class _Timed:
    """Batches, and the seconds that were waited for them."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches, self.seconds = batches, 0.0

    def __iter__(self) -> _Timed:
        return self

    def __next__(self) -> Any:
        began = time.perf_counter()
        batch = next(self._batches)
        self.seconds += time.perf_counter() - began
        return batch


def _trainer(name: str, chosen: argparse.Namespace, output: Path, *, compiled: bool) -> Any:
    from moda.config import apply_overrides, load_yaml, parse
    from moda.stages.registry import build_stage
    from moda.training.config import TrainConfig
    from moda.training.randomness import seed_everything
    from moda.training.trainer import Trainer

    overrides = [f"data.store={chosen.store}", f"output={output}", f"device={chosen.device}", "init=null"]
    overrides += [f"trainer.precision={chosen.precision}", f"trainer.compile={str(compiled).lower()}"]
    overrides += [] if chosen.workers is None else [f"trainer.workers={chosen.workers}"]
    source = ROOT / "configs" / f"{name}.yaml"
    tree = apply_overrides(load_yaml(source), [*overrides, *RANDOM_START.get(name, []), *chosen.set])
    config = parse(TrainConfig, tree, source=str(source))
    seed_everything(config.seed)
    return Trainer(config, build_stage(config, source=str(source)))


def _operations_a_step(trainer: Any) -> int:
    """Floating-point operations of a step's products."""
    from torch.utils.flop_counter import FlopCounterMode

    batches = iter(trainer.start())
    with FlopCounterMode(display=False) as counter:
        trainer.update(batches)
    return int(counter.get_total_flops())


def _matmul_rate(device: Any, precision: str) -> float:
    """Operations a second of one large matrix product; the best of five."""
    import torch

    side = MATRIX_SIDE[device.type]
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        one @ other
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds)


def _loader_pace(trainer: Any, chosen: argparse.Namespace) -> float:
    """Batches a second that are loaded where nothing is computed, without those that were waiting."""
    batches = iter(trainer.stream())
    for _ in range(2 * trainer.config.trainer.workers + 1):
        next(batches)
    began, count = time.perf_counter(), 0
    while count < 2 * chosen.steps and (count == 0 or time.perf_counter() - began < chosen.seconds / 3):
        next(batches)
        count += 1
    return count / (time.perf_counter() - began)


def _busy_share(trainer: Any, batches: Iterator[Any]) -> float:
    """Time of the GPU's kernels over the time of some steps, under torch's profiler."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(PROFILED_STEPS):
            trainer.update(batches)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    microseconds = sum(event.self_device_time_total for event in profiled.key_averages())
    return min(1.0, microseconds / 1e6 / seconds)


def _wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "n/a" if key == "busy" else "-"
    if key in ("waiting", "busy", "matmul_share"):
        return f"{value:.0%}"
    return f"{value:,.0f}" if key in ("peak_mib", "steps", "paper") else f"{value:.3g}"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())

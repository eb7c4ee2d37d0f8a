"""Devices, and two processes that do what accumulating two batches does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from moda import checkpoint as checkpoints
from moda.errors import ConfigError
from moda.training.runtime import Runtime

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
from pathlib import Path
import torch
from torch import nn
from moda.config import Config, parse
from moda.training.stage import Stage
from moda.training.config import TrainConfig
from moda.training.trainer import Trainer
from moda.training.randomness import seed_everything

torch.set_num_threads(1)


class Empty(Config):
    pass


class Linear(Stage):
    name = "linear"
    DataConfig = NetworkConfig = LossConfig = Empty

    def __init__(self):
        super().__init__(Empty(), Empty(), Empty())
        self.linear = nn.Linear(3, 1)

    @property
    def trainables(self):
        return {"linear": self.linear}

    @property
    def network(self):
        return self.linear

    def datasets(self):
        points = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))
        return [{"x": point, "y": point[:1]} for point in points], []

    def losses(self, batch, generator):
        yield "linear", {"l2": (self.linear(batch["x"]) - batch["y"]).square().mean()}

    def validate(self, batch):
        return {}


output, accumulate, seed = sys.argv[1:]
trainer = {"steps": 3, "batch": 4, "accumulate": int(accumulate)}
tree = {"stage": "linear", "output": output, "device": "cpu", "trainer": trainer, "optimizer": {"lr": 0.01}}
seed_everything(int(seed))
Trainer(parse(TrainConfig, tree, source="test"), Linear()).run()
"""


def start(output: Path, accumulate: int, rank: int | None = None, port: int = 0) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if rank is not None:
        environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    # unlike weights at the start: the main process's have to win
    arguments = [sys.executable, "-c", PROGRAM, str(output), str(accumulate), str(rank or 0)]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)


def test_two_processes_do_what_accumulating_two_batches_does(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = [start(tmp_path / "one", 2), *(start(tmp_path / "two", 1, rank, port) for rank in (0, 1))]
    for run in runs:
        _, errors = run.communicate(timeout=280)
        assert run.returncode == 0, errors
    one, two = (checkpoints.load(tmp_path / name / "last.pt") for name in ("one", "two"))
    assert one.info["step"] == two.info["step"] == 3
    for name, value in one.weights.items():
        torch.testing.assert_close(two.weights[name], value, rtol=1e-5, atol=1e-6)


def test_a_device_that_is_not_here_is_refused() -> None:
    assert Runtime("cpu").device.type == "cpu"
    for name, here in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not here:
            with pytest.raises(ConfigError, match=f"device '{name}' is not available here; available: cpu"):
                Runtime(name)


def test_averaged_gradients_keep_the_layout_of_their_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fused AdamW pairs weights and gradients by where they lie in memory, whatever their strides."""
    picture, runtime = torch.randn(2, 3, 8, 8), Runtime("cpu")
    network = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network(picture).square().sum().backward()
    wanted = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    network.unused = torch.nn.Linear(2, 2)
    runtime.count = 2
    monkeypatch.setattr("moda.training.runtime.reduce", lambda values, how: values.clone())  # both have the same
    runtime.average_gradients(list(network.parameters()))
    for name, parameter in network.named_parameters():
        if name in wanted:
            assert parameter.grad is not None and parameter.grad.stride() == parameter.stride()
            assert torch.equal(parameter.grad, wanted[name])
        else:
            assert parameter.grad is None


def test_bf16_is_only_where_it_is_asked_for() -> None:
    a = torch.ones(2, 2)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with Runtime("cpu", precision).autocast():
            assert (a @ a).dtype == dtype

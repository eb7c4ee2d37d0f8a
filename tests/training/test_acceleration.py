"""What makes a GPU fast and changes nothing of what is learned, on the CPU; and a GPU whose memory is too small."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn
from torch.utils.data import Dataset

from moda import checkpoint as checkpoints
from moda.data.store import ClipStore
from moda.errors import ConfigError, TrainingError
from moda.stages.registry import build_stage
from moda.training import memory
from moda.training.acceleration import set_up
from moda.training.config import OptimizerConfig, TrainerConfig
from moda.training.runtime import Runtime
from moda.training.trainable import Trainable
from moda.training.trainer import Trainer
from tests.every_stage import STAGES, Data, make_data, train_config
from tests.training.test_trainer import TinyStage, make, make_config, same


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, clip_store: ClipStore) -> Data:
    return make_data(tmp_path_factory.mktemp("data"), clip_store.root)


class Poisoned(TinyStage):
    """The third step meets a sample that is not finite."""

    def prepare(self, train: Dataset[Any]) -> None:
        """The poison would stop the statistics already."""

    def sampler(self, dataset: Dataset[Any], batch: int, seed: int) -> list[list[int]]:
        return [[1, 2], [3, 4], [0, 5], [6, 7]]


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Values are read as on a GPU; how many were read at once."""
    read: list[int] = []
    fetch = torch.Tensor.tolist
    monkeypatch.setattr(Runtime, "reads_late", True)
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: (read.append(self.numel()), fetch(self))[1])
    return read


def test_values_that_are_read_late_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: list[int]
) -> None:
    settings = {"log_every": 4, "steps": 8, "save_every": 8, "validate_every": 8, "preview_every": 8, "accumulate": 2}
    one = make(make_config(tmp_path / "late", trainer=settings))
    one.run()
    assert late.count(4 * 6) == 2, "two terms of two batches, gradient and clipping, four steps at once"
    monkeypatch.setattr(Runtime, "reads_late", False)
    other = make(make_config(tmp_path / "at once", trainer=settings))
    other.run()
    assert same(one.stage.state_dict(), other.stage.state_dict())


@pytest.mark.usefixtures("late")
def test_a_loss_that_is_read_late_names_its_step_and_nothing_is_written_after_it(tmp_path: Path) -> None:
    settings = {"steps": 9, "batch": 2, "log_every": 9, "save_every": 2, "validate_every": 9, "preview_every": 9}
    trainer = make(make_config(tmp_path, data={"poison": 0}, trainer=settings), Poisoned)
    with pytest.raises(TrainingError, match=r"^step 3: loss 'regressor/l1' is nan"):
        trainer.run()
    last = checkpoints.load(tmp_path / "last.pt")
    assert last.info["step"] == 2 and all(torch.isfinite(value).all() for value in last.weights.values())


def test_a_gradient_too_large_for_fp16_leaves_a_step_out_and_at_last_ends_the_run() -> None:
    line = nn.Linear(2, 1, bias=False)
    trainable = Trainable("line", line, OptimizerConfig(), scaled=True)
    before, scale = line.weight.detach().clone(), trainable.scaler.get_scale()
    trainable.backward({"slope": (line.weight * torch.tensor([[math.inf, 1.0]])).sum()}, share=1.0)
    assert not trainable.clip(Runtime("cpu")).isfinite()
    trainable.update(1e-3)
    assert torch.equal(line.weight, before) and trainable.scaler.get_scale() == scale / 2
    trainable.require_scale(1)
    trainable.scaler.update(0.5)
    with pytest.raises(TrainingError, match=r"^step 7: the gradient of 'line' is too large for fp16"):
        trainable.require_scale(7)


def test_an_optimisers_state_is_loaded_under_this_runs_settings() -> None:
    one, other = (Trainable("line", nn.Linear(2, 1), OptimizerConfig(lr=rate)) for rate in (0.1, 0.2))
    one.backward({"sum": one.module(torch.ones(1, 2)).sum()}, share=1.0)
    one.update(0.1)
    state = one.optimizer.state_dict()
    state["param_groups"][0]["fused"] = True  # as written on a GPU
    other.resume(state, {})
    group = other.optimizer.param_groups[0]
    assert (group["fused"], group["lr"]) == (None, 0.2)
    assert all(value["step"] == 1 for value in other.optimizer.state.values())


def test_convolutions_are_laid_out_as_configured(tmp_path: Path, data: Data) -> None:
    stage = build_stage(train_config("renderer", data, tmp_path), source="test")
    set_up(stage, TrainerConfig(steps=1, channels_last=True), Runtime("cpu"))
    kernels = [p for p in stage.parameters() if p.dim() == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert kernels and all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)


@pytest.mark.parametrize("name", STAGES)
def test_what_the_losses_call_is_compiled(
    name: str, tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with validation and preview; traced alone, without a compiler of C++."""
    compiled = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled(self, backend="eager"))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    config = train_config(name, data, tmp_path, "trainer.compile=true", "trainer.ema=0.5")
    Trainer(config, build_stage(config, source=name)).run()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


def test_batch_normalisation_of_several_processes_needs_gpus(tmp_path: Path, data: Data) -> None:
    stage = build_stage(train_config("renderer", data, tmp_path), source="test")
    names = list(stage.state_dict())
    config, runtime = TrainerConfig(steps=1, sync_batch_norm=True), Runtime("cpu")
    set_up(stage, config, runtime)
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in stage.modules()), "one process"
    runtime.count = 2
    with pytest.raises(ConfigError, match="these 2 processes compute on cpu; set "):
        set_up(stage, config, runtime)
    runtime.device = torch.device("cuda")
    set_up(stage, config, runtime)
    norms = [module for module in stage.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms and all(isinstance(module, nn.SyncBatchNorm) for module in norms)
    assert list(stage.state_dict()) == names


def test_a_switch_for_tf32(tmp_path: Path) -> None:
    stage = make(make_config(tmp_path)).stage
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        for chosen, expected in ((True, True), (None, True), (False, False)):
            set_up(stage, TrainerConfig(steps=1, tf32=chosen), Runtime("cpu"))
            assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is expected
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_a_memory_that_is_too_small_is_told_with_what_to_lower(
    tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(TinyStage):
        def losses(self, batch: Any, generator: torch.Generator) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(TrainingError, match=r"it is full; lower trainer.batch \(is 4\), network.width \(is 6\)"):
        make(make_config(tmp_path), Full).run()
    gpu = torch.device("cuda")
    monkeypatch.setattr(memory, "describe_device", lambda device: "cuda (Tesla T4)")
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 14 << 30)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 15 << 30)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 16 << 30))
    settings = {"trainer": {"batch": 32, "precision": "fp32", "accumulate": 1}, "data": {"lengths": [300]}}
    with pytest.raises(TrainingError) as told, memory.memory_suffices(gpu, settings):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    assert str(told.value) == (
        "the memory of cuda (Tesla T4) is too small: 14.0 GB of 16.0 GB are allocated, 15.0 GB were at the most; lower "
        "trainer.batch (is 32), data.lengths (is [300]), or set trainer.precision=bf16; with a smaller batch "
        "trainer.accumulate=2 for the same step"
    )

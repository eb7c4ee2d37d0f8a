"""Whole trainings on a fake GPU: the loop, backward pass, optimisers, averages, checkpoints and loading."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import moda.checkpoint
import moda.training.trainer
from moda.data.store import ClipStore
from moda.errors import TrainingError
from moda.stages.registry import build_stage
from moda.training.stage import Stage
from moda.training.state import pack
from moda.training.trainable import Trainable
from moda.training.trainer import Trainer
from tests.every_stage import STAGES, VARIANTS, Data, make_data, train_config
from tests.fake_backward import backward
from tests.fake_cuda import CUDA, exchanges, reads
from tests.fake_training import adopted, fake_training, uploads

LOOP = ("trainer.ema=0.9", "optimizer.clip=1.0", "trainer.accumulate=2", "trainer.steps=4", "trainer.workers=1")
RARELY = tuple(f"trainer.{what}_every=4" for what in ("log", "validate", "preview", "save"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, clip_store: ClipStore) -> Data:
    return make_data(tmp_path_factory.mktemp("data"), clip_store.root)


def built(name: str, data: Data, output: Path, *changes: str) -> tuple[Any, Stage]:
    config = train_config(name, data, output, *LOOP, *RARELY, *changes)
    return config, build_stage(config, source=name)


def state(trainer: Trainer) -> list[Tensor]:
    """Every tensor that a run keeps from step to step, but the counter of its average."""
    kept = pack(trainer.progress, list(trainer.trainables.values()), trainer.average, {})
    leaves = tree_leaves([kept, list(trainer.stage.parameters()), list(trainer.stage.buffers())])
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


@pytest.mark.parametrize(
    ("name", "precision", "changes"),
    [*((name, "fp16", changes) for name, changes in VARIANTS), ("faco", "fp32", ()), ("renderer", "bf16", ())],
)
def test_a_whole_run_keeps_to_the_gpu(
    name: str, precision: str, changes: tuple[str, ...], data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It resumes a checkpoint of the CPU, and the CPU reads its own."""
    monkeypatch.setattr(moda.training.trainer, "require_weights", lambda *_: None)  # Whisper's are random here
    changes = (*changes, f"trainer.precision={precision}")
    Trainer(*built(name, data, tmp_path, *changes, "trainer.steps=1")).run()
    config, stage = built(name, data, tmp_path, *changes)
    waits: list[int] = []
    with fake_training(monkeypatch) as mode:
        trainer = Trainer(config, adopted(stage, mode))
        update = trainer.update

        def counted(batches: Iterator[Any]) -> None:
            before = len(reads)
            update(batches)
            waits.append(len(reads) - before)

        monkeypatch.setattr(trainer, "update", counted)
        assert trainer.run().step == 4
        assert waits == [0, 0, 0], "the host waits for the GPU in every step"
        assert {value.device.type for value in state(trainer)} == {CUDA}
        assert uploads and all(uploads), "batches that are not loaded into pinned memory"
    back = Trainer(*built(name, data, tmp_path, *changes))
    back.start()
    assert back.progress.step == 4 and {value.device.type for value in state(back)} == {"cpu"}


class _OnTheCpu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return 2 * value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.cpu()


def _hooked(value: Tensor) -> Tensor:
    made = 1 * value
    made.register_hook(lambda gradient: gradient * torch.ones(1))
    return made


def _changed_losses(change: Callable[[Tensor], Tensor]) -> Callable[[Trainer, pytest.MonkeyPatch], None]:
    def put(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
        losses = trainer.stage.losses

        def changed(*args: Any) -> Any:
            for name, terms in losses(*args):
                yield name, {key: change(value) for key, value in terms.items()}

        patch.setattr(trainer.stage, "losses", changed)

    return put


def _after_updates(change: Callable[[dict[str, Tensor]], None]) -> Callable[[Trainer, pytest.MonkeyPatch], None]:
    def put(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
        update = Trainable.update

        def changed(self: Trainable, lr: float) -> None:
            update(self, lr)
            for moments in self.optimizer.state.values():
                change(moments)

        patch.setattr(Trainable, "update", changed)

    return put


def _average_on_the_cpu(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    assert trainer.average is not None
    trainer.average.model.to("cpu")


def _generator_of_the_cpu(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    trainer.generator = torch.Generator()


def _moments_where_they_were_read(trainer: Trainer, patch: pytest.MonkeyPatch) -> None:
    def load(self: Any, saved: dict[str, Any]) -> None:
        self.state.update(zip(self.param_groups[0]["params"], saved["state"].values(), strict=True))

    patch.setattr(torch.optim.AdamW, "load_state_dict", load)


FAULTS: dict[str, tuple[Any, str]] = {
    "a hook multiplies by a tensor of the CPU": (_changed_losses(_hooked), "at least two devices"),
    "a gradient goes to the CPU": (_changed_losses(_OnTheCpu.apply), "got a gradient on cpu"),
    "a moment of the optimiser": (_after_updates(lambda s: s.update(exp_avg=s["exp_avg"].cpu())), "_fused_adamw_"),
    "a count of the optimiser": (_after_updates(lambda s: s.update(step=s["step"].cpu())), "_fused_adamw_"),
    "resumed moments": (_moments_where_they_were_read, "_fused_adamw_"),
    "noise": (_generator_of_the_cpu, "by a generator of cpu"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_on_the_cpu_is_noticed(fault: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put, message = FAULTS[fault]
    Trainer(*built("sync", data, tmp_path, "trainer.steps=1")).run()
    config, stage = built("sync", data, tmp_path)
    with fake_training(monkeypatch) as mode, pytest.MonkeyPatch.context() as patch:
        trainer = Trainer(config, adopted(stage, mode))
        put(trainer, patch)
        with pytest.raises(RuntimeError, match=message):
            trainer.run()


@pytest.mark.parametrize(("name", "changes"), [VARIANTS[len(STAGES)], VARIANTS[-1]])
def test_the_first_of_two_gpus(
    name: str, changes: tuple[str, ...], data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients, means and buffers are exchanged where they are, and batches are normalised over both."""
    config, stage = built(name, data, tmp_path, *changes, "trainer.sync_batch_norm=true", "trainer.batch=1")
    with fake_training(monkeypatch, gpus=2) as mode:
        trainer = Trainer(config, adopted(stage, mode))
        assert trainer.runtime.count == 2
        kinds = {type(module) for module in trainer.stage.modules()}
        assert torch.nn.SyncBatchNorm in kinds and not kinds & {torch.nn.BatchNorm1d, torch.nn.BatchNorm2d}
        assert trainer.run().step == 4
        assert {"allreduce_", "broadcast", "_allgather_base_"} <= set(exchanges)
        assert {value.device.type for value in state(trainer)} == {CUDA}
        with pytest.raises(TrainingError) as told:
            trainer.runtime.average(torch.ones(()))
        assert "NCCL has no exchange of tensors on the CPU" in str(told.value.__cause__)


def test_an_average_on_the_cpu_is_noticed(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be updated all the same, at the cost of a copy in every step."""
    config, stage = built("sync", data, tmp_path)
    with fake_training(monkeypatch) as mode:
        trainer = Trainer(config, adopted(stage, mode))
        assert {value.device.type for value in state(trainer)} == {CUDA}
        assert trainer.average is not None
        trainer.average.model.to("cpu")
        assert {value.device.type for value in state(trainer)} == {CUDA, "cpu"}


def test_a_file_of_a_gpu_is_read_without_one(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tensors say that they lie on a GPU; torch's own reader refuses them here without `map_location`."""
    config, stage = built("sync", data, tmp_path)
    with fake_training(monkeypatch) as mode:
        Trainer(config, adopted(stage, mode)).run()
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
        torch.load(tmp_path / "last.pt", weights_only=True)
    read = moda.checkpoint.load(tmp_path / "last.pt")
    assert {leaf.device.type for leaf in tree_leaves([read.weights, read.trainer]) if isinstance(leaf, Tensor)} == {
        "cpu"
    }


@pytest.mark.parametrize("name", STAGES)
def test_gradients_are_those_of_torch(name: str, data: Data, tmp_path: Path) -> None:
    """`fake_backward.backward` on real tensors of the CPU, in every stage's losses."""
    config, stage = built(name, data, tmp_path, "trainer.workers=0")
    trainer = Trainer(config, stage)
    batch = next(iter(trainer.start()))
    for trainable, terms in trainer.losses(batch, part=0):
        total = torch.stack(list(terms.values())).sum()
        trainable.zero()
        total.backward(inputs=trainable.parameters, retain_graph=True)
        wanted = [copy.deepcopy(parameter.grad) for parameter in trainable.parameters]
        trainable.zero()
        backward(total, inputs=trainable.parameters)
        for parameter, gradient in zip(trainable.parameters, wanted, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)

"""A whole training on fake CUDA tensors: `Trainer` as it is, of a stage that was built on the CPU.

What has no fake form stays real: samples (and the loading processes), files, random generators. Files hold zeros, with
the device that they were saved from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from accelerate import DistributedType, PartialState
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.data import DataLoader

import moda.checkpoint
import moda.training.runtime
import moda.training.trainer
from moda.training.runtime import Runtime
from moda.training.stage import Stage
from tests.fake_backward import backward, hooks, register_hook
from tests.fake_cuda import CUDA, exchanged, fake_cuda, is_pinned, loaded_outside, move_module, moved, pin

uploads: list[bool] = []
"""Of each tensor of a batch, whether it was in pinned memory when it was sent to the GPU without waiting."""


@contextmanager
def fake_training(monkeypatch: pytest.MonkeyPatch, gpus: int = 1) -> Iterator[FakeTensorMode]:
    """A block in which trainers of stages given to `adopted` compute on a fake GPU: the first of so many."""
    with monkeypatch.context() as patch, fake_cuda(monkeypatch) as mode:
        patch.setattr(moda.training.trainer, "Runtime", _Runtime)
        patch.setattr(FakeTensor, "backward", backward, raising=False)
        patch.setattr(FakeTensor, "register_hook", register_hook, raising=False)
        patch.setattr(torch, "get_rng_state", _outside(torch.get_rng_state))
        patch.setattr(torch, "set_rng_state", _outside(torch.set_rng_state))
        patch.setattr(torch, "save", _save(torch.save))
        patch.setattr(moda.checkpoint, "read_tensors", _read(moda.checkpoint.read_tensors, mode))
        patch.setattr(DataLoader, "__iter__", _batches(DataLoader.__iter__, mode))
        hooks.clear()
        uploads.clear()
        with _together(patch, gpus) if gpus > 1 else nullcontext():
            yield mode


@contextmanager
def _together(patch: pytest.MonkeyPatch, gpus: int) -> Iterator[None]:
    """A run of so many processes of which there is only this one: what is exchanged comes back as it was sent."""
    state, before = PartialState(cpu=True), dict(PartialState._shared_state)
    torch.distributed.init_process_group("fake", rank=0, world_size=gpus, store=FakeStore())
    state.distributed_type, state.num_processes = DistributedType.MULTI_GPU, gpus
    patch.setenv("WORLD_SIZE", str(gpus))
    patch.setattr(moda.training.runtime, "gather_object", lambda found: found * gpus)
    patch.setattr(torch.distributed, "broadcast", lambda tensor, **_: exchanged("broadcast", [tensor]))
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
        PartialState._shared_state.clear()
        PartialState._shared_state.update(before)


def adopted(stage: Stage, mode: FakeTensorMode) -> Stage:
    """A real stage with fake parameters, still on the CPU, whose datasets compute with real tensors."""
    move_module(stage, mode, "cpu")
    opened = stage.datasets
    stage.datasets = lambda: tuple(map(loaded_outside, _outside(opened)()))  # type: ignore[method-assign, assignment]
    return stage


class _Runtime(Runtime):
    def __init__(self, *args: Any) -> None:
        super().__init__("cpu", *args[1:])
        self.device = torch.device(CUDA)

    def any(self, flag: bool) -> bool:
        super().any(flag)  # whose answer would be that of ones
        return flag

    def to_device(self, batch: Any) -> Any:
        uploads.extend(is_pinned(leaf) for leaf in tree_leaves(batch))
        return super().to_device(batch)


def _outside(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        with unset_fake_temporarily():
            return function(*args, **kwargs)

    return call


def _save(save: Any) -> Any:
    def call(tree: Any, file: Any) -> None:
        with unset_fake_temporarily():
            made: dict[int, torch.device] = {}

            def real(tensor: Tensor) -> Tensor:
                values = torch.ones(tuple(tensor.shape), dtype=tensor.dtype)
                made[values.untyped_storage()._cdata] = tensor.device
                return values

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch.serialization, "location_tag", lambda s: str(made[s._cdata]))
                save(tree_map_only(Tensor, real, tree), file)

    return call


def _read(read: Any, mode: FakeTensorMode) -> Any:
    def call(path: Path) -> Any:
        with unset_fake_temporarily():
            tree = read(path)
        return moved(tree, mode, "cpu")

    return call


def _batches(iterate: Any, mode: FakeTensorMode) -> Any:
    def call(loader: DataLoader[Any]) -> Iterator[Any]:
        with unset_fake_temporarily():
            batches = iterate(loader)
        while True:
            with unset_fake_temporarily():
                batch = next(batches, None)
            if batch is None:
                return
            batch = moved(batch, mode, "cpu")
            yield tree_map_only(Tensor, pin, batch) if loader.pin_memory else batch

    return call

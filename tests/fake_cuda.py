"""CUDA without a GPU: torch's FakeTensorMode, which has shapes, types and devices but no values.

An operation on tensors of two devices raises, as on a GPU. Values that are read (`item`, `tolist`, `numpy`) are
ones, so that what follows runs, and counted (`reads`) where they lie on the GPU, as the host then waits for it;
`numpy()` of a tensor on the GPU raises, as there. The backward pass: `fake_backward`; whole trainings: `fake_training`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import GeneratorType
from typing import Any

import numpy as np
import pytest
import torch
import torch.cuda.amp.common
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._pytree import tree_leaves, tree_map_only

import moda.device
from moda.stages.speech.network import _mel_bank

CUDA = "cuda"
reads: list[torch.Size] = []
"""Shapes of the tensors on the GPU whose values were read since the block began."""
exchanges: list[str] = []
"""Between the processes of a run, since the block began."""


_SYNC_BATCH_NORM: dict[str, Callable[..., Any]] = {
    "batch_norm_stats": lambda x, *_: (_channels(x), _channels(x)),
    "batch_norm_gather_stats_with_counts": lambda x, *_: (_channels(x), _channels(x)),
    "batch_norm_elemt": lambda x, *_: torch.empty_like(x),
    "batch_norm_backward_reduce": lambda _, x, *__: tuple(_channels(x) for _ in range(4)),
    "batch_norm_backward_elemt": lambda x, *_: torch.empty_like(x),
}
"""What torch has for real GPUs alone."""


def _channels(x: Tensor) -> Tensor:
    return torch.empty(x.shape[1], device=x.device)


def exchanged(name: str, args: Any) -> None:
    """Note an exchange between processes; raises `RuntimeError` for tensors that NCCL does not send."""
    exchanges.append(name)
    if any(leaf.device.type == "cpu" for leaf in tree_leaves(args) if isinstance(leaf, Tensor)):
        raise RuntimeError(f"{name}: NCCL has no exchange of tensors on the CPU")


class _Mode(FakeTensorMode):
    """With what a GPU also refuses: lists of tensors of which some lie elsewhere, copies to the host that nobody could
    wait for, exchanges between GPUs of what is on none.
    """

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.name().removeprefix("aten::"), dict(kwargs or {})
        if name in _SYNC_BATCH_NORM:
            with self:
                return _SYNC_BATCH_NORM[name](*args)
        if name.startswith("c10d::") and name != "c10d::barrier":
            exchanged(name.removeprefix("c10d::"), args)
        if name.startswith(("_foreach_", "_fused_", "_amp_", "batch_norm_")):
            found = {leaf.device for leaf in tree_leaves(args) if isinstance(leaf, Tensor)}
            if len(found) > 1:
                raise RuntimeError(f"{name} of tensors on {' and '.join(sorted(map(str, found)))}")
        pinned = kwargs.pop("pin_memory", None)
        made = super().dispatch(func, types, args, kwargs)
        if pinned:
            made.pinned = True
        late = kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2])
        source = args[1] if name == "copy_" else args[0] if args else None
        if late and source.device.type != "cpu" == made.device.type:
            if not is_pinned(made):
                raise RuntimeError(f"{name} to memory that is not pinned, before it is there")
            made.coming = True
            _coming.append(made)
        return made


_coming: list[Tensor] = []


class _Event:
    """A copy to the host is there once what was recorded behind it is done."""

    def record(self, stream: Any = None) -> None:
        self._before = list(_coming)

    def synchronize(self) -> None:
        for tensor in self._before:
            tensor.coming = False  # type: ignore[attr-defined]


def is_pinned(tensor: Tensor) -> bool:
    """Whether the GPU can fetch it on its own."""
    return getattr(tensor, "pinned", False)


def pin(tensor: Tensor) -> Tensor:
    """A tensor of the host in pinned memory."""
    made = tensor.clone()
    made.pinned = True  # type: ignore[attr-defined]
    return made


class _Generator(torch.Generator):
    """A generator of a device: it draws nothing there, but knows where it belongs."""

    def __new__(cls, device: Any = "cpu") -> Any:
        made = super().__new__(cls)
        made.on = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        on: torch.device = self.on  # type: ignore[attr-defined]
        return on


def _drawn(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(*args: Any, generator: torch.Generator | None = None, **kwargs: Any) -> Tensor:
        made = draw(*args, generator=generator, **kwargs)
        if generator is not None and generator.device.type != made.device.type:
            raise RuntimeError(f"numbers on {made.device} by a generator of {generator.device}")
        return made

    return call


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """Tensors made in the block are fake."""
    with monkeypatch.context() as patch, _Mode(shape_env=ShapeEnv(), allow_non_fake_inputs=False) as mode:
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
        patch.setattr(torch, "Generator", _Generator)
        for name in ("rand", "randn", "randperm"):
            patch.setattr(torch, name, _drawn(getattr(torch, name)))
        patch.setattr(FakeTensor, "pin_memory", pin, raising=False)
        patch.setattr(torch.cuda, "Event", _Event)
        patch.setattr(torch.cuda, "current_stream", lambda *_: None)
        patch.setattr(moda.device, "_has_queue", lambda device: device.type == CUDA)
        readers = {"item": lambda self: _ones(self).flat[0].item(), "tolist": lambda self: _ones(self).tolist()}
        readers |= {"__float__": lambda _: 1.0, "__int__": lambda _: 1, "__bool__": lambda _: True}
        for name, read in readers.items():
            patch.setattr(FakeTensor, name, _counted(read), raising=False)
        patch.setattr(FakeTensor, "numpy", _numpy, raising=False)
        patch.setattr(FakeTensor, "__deepcopy__", _copied, raising=False)
        patch.setattr(nn.Module, "_apply", _applied)  # torch's exchanges parameters in place, which fake ones do not
        for name in ("__getitem__", "__setitem__"):  # the mode itself takes any index
            patch.setattr(FakeTensor, name, _checked(getattr(Tensor, name)), raising=False)
        reads.clear()
        _coming.clear()
        exchanges.clear()
        _mel_bank.cache_clear()  # a tensor that is kept: neither a real one here nor a fake one after
        try:
            yield mode
        finally:
            _mel_bank.cache_clear()


def _counted(read: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    def call(tensor: Tensor) -> Any:
        if tensor.device.type != "cpu":
            reads.append(tensor.shape)
        return read(tensor)

    return call


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(tensor: Tensor, index: Any, *value: Any) -> Any:
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, Tensor) and tensor.device.type == "cpu" != part.device.type:
                raise RuntimeError(f"indices on {part.device} of a tensor on the CPU")
        return method(tensor, index, *value)

    return call


def _ones(tensor: Tensor) -> np.ndarray:
    """An array of its shape; of 2 where the shape depends on values."""
    shape = [side if isinstance(side, int) else 2 for side in tensor.shape]
    return np.ones(shape, str(tensor.dtype).removeprefix("torch."))


def _copied(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(tensor) not in memo:
        plain = tensor.detach().clone()
        memo[id(tensor)] = nn.Parameter(plain, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else plain
    made: Tensor = memo[id(tensor)]
    return made


def _applied(module: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = nn.Parameter(change(value.detach()), value.requires_grad)
        part._buffers.update({name: change(value) for name, value in part._buffers.items() if value is not None})
    return module


def _numpy(tensor: Tensor) -> Any:
    if tensor.device.type != "cpu":
        raise TypeError(f"can't convert {tensor.device} tensor to numpy; use Tensor.cpu() first")
    if getattr(tensor, "coming", False):
        raise RuntimeError("what is read on the host is still on its way")
    return _ones(tensor)


def moved(tree: Any, mode: FakeTensorMode, device: str = CUDA) -> Any:
    """Every tensor of a tree as a fake one on the device."""
    with mode:
        return tree_map_only(Tensor, lambda tensor: mode.from_tensor(tensor, static_shapes=True).to(device), tree)


def move_module(module: nn.Module, mode: FakeTensorMode, device: str = CUDA) -> None:
    """Parameters and buffers of a real module as fake ones on the device, as `module.to` does."""
    shared: dict[Tensor, Tensor] = {}
    for part in module.modules():
        for values in (part._parameters, part._buffers):
            for name, value in values.items():
                if value is not None:
                    if value not in shared:
                        with unset_fake_temporarily():
                            plain = value.detach()
                        fake = moved(plain, mode, device)
                        shared[value] = nn.Parameter(fake, value.requires_grad) if values is part._parameters else fake
                    values[name] = shared[value]  # type: ignore[assignment]


def loaded_outside(dataset: Any) -> Any:
    """The dataset, whose methods compute with real tensors and return fake ones, on the CPU."""
    kind = type(dataset)

    def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with unset_fake_temporarily() as mode:
                result = method(*args, **kwargs)
            return _fake(result, mode)

        return call

    class Outside(kind):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            return wrapped(value) if callable(value) and not name.startswith("__") else value

        def __getitem__(self, index: Any) -> Any:
            return wrapped(super().__getitem__)(index)

    dataset.__class__ = Outside
    return dataset


def _fake(result: Any, mode: FakeTensorMode | None) -> Any:
    if mode is None:
        return result
    if isinstance(result, GeneratorType):
        return _each(result, mode)
    return moved(result, mode, "cpu")


def _each(items: Iterator[Any], mode: FakeTensorMode) -> Iterator[Any]:
    while True:
        with unset_fake_temporarily():
            item = next(items, None)
        if item is None:
            return
        yield moved(item, mode, "cpu")

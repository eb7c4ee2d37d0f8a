"""Building networks from untrusted settings: one line refuses those that cannot be built or are far too large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from moda.errors import ConfigError, ModaError

MAX_VALUES = 1 << 29
"""Of all weights and buffers of a network: 2 GB."""
MAX_TENSORS = 100_000
_SIZED = ("empty", "zeros", "ones", "rand", "randn", "full", "eye")
_FACTORIES = {getattr(torch, name): name for name in (*_SIZED, "arange", "linspace", "tensor")}
_FACTORIES[torch.Tensor.clone] = "clone"  # layers are made by copying one


@contextmanager
def building(
    source: str, *, values: int = MAX_VALUES, tensors: int = MAX_TENSORS, error: type[ModaError] = ConfigError
) -> Iterator[None]:
    """Build networks in the block, of at most so many values and tensors.

    An exception of it that is not of this project becomes an `error` that names `source`, where the settings come from.
    """
    try:
        with _Limited(values, tensors):
            yield
    except ModaError:
        raise
    except Exception as failed:
        reason = " ".join(str(failed).split()) or type(failed).__name__
        raise error(f"{source}: no network can be built with these settings: {reason}") from failed


class _Limited(TorchFunctionMode):
    """Refuses to make tensors beyond a limit, before they are made."""

    def __init__(self, values: int, tensors: int) -> None:
        super().__init__()
        self._values, self._tensors = values, tensors

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _FACTORIES:
            self._tensors -= 1
            self._values -= _count(_FACTORIES[func], args)
            if self._values < 0 or self._tensors < 0:
                raise ValueError("it would have far too many weights")
        return func(*args, **(kwargs or {}))


def _count(name: str, args: Sequence[Any]) -> int:
    """Values of the tensor that a factory would make, as far as its sizes are its first arguments."""
    if name == "clone":
        return int(args[0].numel())
    if name not in _SIZED:
        return 0
    sizes = args[0] if args and isinstance(args[0], (tuple, list)) else args[:1] if name == "full" else args
    sides = [side for side in sizes if isinstance(side, int)]
    return math.prod(sides) * (sides[0] if name == "eye" and len(sides) == 1 else 1) if sides else 0

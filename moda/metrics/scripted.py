"""Networks that a user names as TorchScript files: their code comes with their weights, so nothing is guessed."""

from __future__ import annotations

import inspect
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moda.errors import CheckpointError
from moda.metrics.weights import digest

if TYPE_CHECKING:  # torch takes seconds to load, which reading a configuration does not need
    from torch import Tensor


def named(path: Path | None, what: str) -> str:
    """A network for a column's header: what it is, its file and the start of that file's SHA-256."""
    return f"{what}, not given" if path is None else f"{what}, {path.name} {digest(path)}"


def run(path: Path, pictures: np.ndarray, wanted: str, **options: object) -> np.ndarray:
    """Values (N, D) of a network for its input.

    options: keywords given to the network as far as it has them. wanted: what it should be, for the message. Raises
    `CheckpointError` if it cannot be loaded, fails, or gives something else.
    """
    import torch

    network, known = _load(path, wanted)
    try:
        with torch.inference_mode():
            found: Tensor = network(torch.from_numpy(pictures), **{k: v for k, v in options.items() if k in known})
        values = np.asarray(found.float().cpu().numpy())
    except Exception as error:  # whatever a network of others raises
        raise CheckpointError(f"{path} cannot score ({_first_line(error)}), wanted {wanted}") from error
    if values.ndim != 2 or not np.isfinite(values).all():
        raise CheckpointError(f"{path} gives values of shape {values.shape}, wanted {wanted}")
    return values


@lru_cache(maxsize=4)
def _load(path: Path, wanted: str) -> tuple[Any, frozenset[str]]:
    import torch

    digest(path)
    try:
        network = torch.jit.load(str(path), map_location="cpu").eval()
        names = frozenset(argument.name for argument in network.forward.schema.arguments)
    except Exception as error:
        raise CheckpointError(f"{path} is no TorchScript network ({_first_line(error)}), wanted {wanted}") from error
    return network, names


def _first_line(error: Exception) -> str:
    text = inspect.cleandoc(str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__

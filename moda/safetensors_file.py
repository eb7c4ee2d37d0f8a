"""Weights as safetensors, with a JSON tree beside them in the file's own header; code cannot stand in such a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from moda.errors import ConfigError

SUFFIX = ".safetensors"
_TREE = "moda"


def _library() -> Any:
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise ConfigError(f"safetensors is not installed ({error}); pip install 'moda[hub]'") from error
    return safetensors


def write_weights(path: Path, weights: Mapping[str, Tensor], tree: Mapping[str, Any]) -> None:
    """Write weights, and a tree of plain values in the header. Raises `OSError`; `ConfigError` without the library."""
    library = _library()
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    data: bytes = library.torch.save(whole, metadata={"format": "pt", _TREE: json.dumps(tree)})
    with path.open("wb") as file:
        file.write(data)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a file and the tree of `write_weights`, empty if it has none.

    Raises `OSError` if it cannot be read, `ValueError` for whatever is wrong with it; `ConfigError` as above.
    """
    library = _library()
    with path.open("rb"):
        pass  # an error of the system, and not of the library, for what cannot be read
    try:
        with library.safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        tree = json.loads(header.get(_TREE, "{}"))
    except (library.SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(tree, dict):
        raise ValueError("its header holds no tree of this project")
    return weights, tree

"""The one checkpoint format: what inference and a resumed training need, in one file.

A file holds the stage's name, its full config, the network's weights (statistics are buffers among
them), the representation signature and, while training, the trainer's state. It is read weights-only:
code in it is refused.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from moda.checkpoint_versions import VERSION, upgraded
from moda.errors import CheckpointError, OutputError, few
from moda.files import replacing
from moda.locations import find_checkpoint
from moda.representation import SIGNATURE
from moda.safetensors_file import SUFFIX, read_weights, write_weights
from moda.tensor_file import read_tensors

log = logging.getLogger(__name__)

KIND = "moda-checkpoint"
_KEYS = ("stage", "config", "weights", "signature", "trainer", "info")
_SHOWN = 4
"""How many keys a message names before it says how many more there are."""


@dataclass(frozen=True)
class Checkpoint:
    """One trained stage.

    stage: its name. config: the train config as a plain dict, with every default; section "network"
    builds the network. weights: the network's state_dict. signature: what chained networks agree on.
    trainer: state to resume from, or None in a shipped checkpoint. info: step, score, origin.
    """

    stage: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    signature: dict[str, object] = field(default_factory=lambda: dict(SIGNATURE))
    trainer: dict[str, Any] | None = None
    info: dict[str, Any] = field(default_factory=dict)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the final name appears only when the file is whole and on the disk.

    A name that ends in .safetensors is written in that format, without the trainer's state.
    Raises `OutputError` when the folder cannot be written or the disk is full; what stood at `path` stays.
    """
    path = Path(path)
    tree = {"kind": KIND, "version": VERSION, **{key: getattr(checkpoint, key) for key in _KEYS}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, durable=True) as temporary:
            if path.suffix == SUFFIX:
                write_weights(temporary, tree.pop("weights"), tree | {"trainer": None})
            else:
                with open(temporary, "wb") as file:
                    torch.save(tree, file)
    except (OSError, RuntimeError) as error:
        cause = _os_error(error)
        if cause is None:
            raise
        reason = cause.strerror or str(cause)
        raise OutputError(f"cannot write {path}: {reason}; free space or choose another output") from error


def load(path: Path, *, stage: str | None = None, map_location: str | torch.device = "cpu") -> Checkpoint:
    """Read a checkpoint, found as `find_checkpoint` says; in today's names and with fp16 weights as fp32.

    stage: refuse a checkpoint of another one. Raises `CheckpointError` naming the file when it is missing,
    cut short, no checkpoint of this project, holds code, or was made for another representation.
    """
    path = find_checkpoint(path)
    tree = _read(path)
    if not isinstance(tree, dict) or tree.get("kind") != KIND:
        raise CheckpointError(f"not a checkpoint of this project: {path}")
    if not isinstance(tree.get("version"), Tensor):
        tree = upgraded(tree)
    version = tree.get("version")
    if isinstance(version, Tensor) or version != VERSION:
        raise CheckpointError(f"{path} is of checkpoint version {_short(version)}, wanted {VERSION}; train it again")
    absent = [key for key in _KEYS if key not in tree]
    if absent:
        raise CheckpointError(f"{path} lacks {', '.join(absent)}; it was not written by this project")
    wrong = [key for key in _KEYS if not _fits(key, tree[key])]
    if wrong:
        raise CheckpointError(f"'{wrong[0]}' of {path} is not what this project writes there; train it again")
    checkpoint = Checkpoint(**{key: tree[key] for key in _KEYS})
    if stage is not None and checkpoint.stage != stage:
        raise CheckpointError(f"{path} is a checkpoint of stage '{_short(checkpoint.stage)}', wanted '{stage}'")
    check_signature(checkpoint.signature, source=str(path))
    weights = {
        name: (value.float() if value.dtype == torch.float16 else value).to(map_location)
        for name, value in checkpoint.weights.items()
    }
    return replace(checkpoint, weights=weights)


def section(checkpoint: Checkpoint, name: str, *, source: str) -> dict[str, Any]:
    """A section of the checkpoint's config; raises `CheckpointError` if there is none."""
    found = checkpoint.config.get(name)
    if not isinstance(found, dict):
        raise CheckpointError(f"the checkpoint {source} does not say what {name} it holds; train it again")
    return found


def _fits(key: str, value: object) -> bool:
    """Whether a part of a checkpoint is of its type, by name."""
    if key == "stage":
        return isinstance(value, str)
    if key == "trainer" and value is None:
        return True
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return False
    if key == "weights":
        return all(isinstance(each, Tensor) for each in value.values())
    return key == "trainer" or not _has_tensor(value)


def _has_tensor(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_tensor(each) for each in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_tensor(each) for each in value)
    return isinstance(value, Tensor)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def check_signature(signature: Mapping[str, object], *, source: str) -> None:
    """Raise `CheckpointError` naming every entry in which a signature differs from `SIGNATURE`."""
    names = dict.fromkeys((*SIGNATURE, *signature))
    differing = [
        f"{_short(name)} is {_short(repr(signature.get(name)))}, wanted {SIGNATURE.get(name)!r}"
        for name in names
        if signature.get(name) != SIGNATURE.get(name)
    ]
    if differing:
        raise CheckpointError(f"{source} was made for another representation: {'; '.join(differing)}; train it again")


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Copy weights into a module, strictly.

    Raises `CheckpointError` naming what is missing, unexpected, of another shape or not finite; then nothing is copied.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in weights]
    unexpected = [str(name) for name in weights if name not in own]
    both = {name: (weights[name], value) for name, value in own.items() if name in weights}
    shapes = [
        f"{name} {_shape(theirs)} for {tuple(ours.shape)}"
        for name, (theirs, ours) in both.items()
        if not _alike(theirs, ours)
    ]
    problems = [
        f"{what} {few(names, _SHOWN)}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("wrong shape", shapes))
        if names
    ]
    if problems:
        raise CheckpointError(f"weights of {source} do not fit {type(module).__name__}: {'; '.join(problems)}")
    bad = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(f"weights of {source} are not finite: {few(bad, _SHOWN)}; train it again")
    module.load_state_dict(dict(weights))


def _alike(theirs: object, ours: Tensor) -> bool:
    """Same shape and both whole numbers or both not."""
    if not isinstance(theirs, Tensor) or theirs.shape != ours.shape:
        return False
    return theirs.is_floating_point() == ours.is_floating_point()


def _shape(value: object) -> str:
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__}"


def _os_error(error: BaseException | None) -> OSError | None:
    """The OSError behind an error: torch's archive writer hides a full disk behind a RuntimeError."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _read(path: Path) -> Any:
    try:
        if path.suffix == SUFFIX:
            weights, tree = read_weights(path)
            return tree | {"weights": weights}
        return read_tensors(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"no such checkpoint: {path}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} holds more than weights (code): refused, not of this project") from error
    except ValueError as error:
        raise CheckpointError(
            f"not a checkpoint, or cut short or damaged: {path} ({error}); copy or download it again"
        ) from error

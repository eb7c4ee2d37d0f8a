"""Where files are that configurations, commands and the code name: the one place that knows.

A relative path is looked for in the user's folder, then in the checkout that this package runs from, then in the
installed package, whose data keep the checkout's layout (configs/, assets/checkpoints/).
"""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from pathlib import Path

from moda.errors import CheckpointError, ConfigError

_PACKAGE = Path(__file__).resolve().parent
_BESIDE = _PACKAGE.parent
_CHECKOUT = [_BESIDE] if (_BESIDE / "pyproject.toml").is_file() and (_BESIDE / "configs").is_dir() else []
_SHIPPED = (*_CHECKOUT, _PACKAGE / "package_data")
"""Folders that hold what ships: the checkout, if there is one, and the package's data."""
CONFIGS, CHECKPOINTS = Path("configs"), Path("assets/checkpoints")
REFERENCE_SUFFIX = ".reference.json"
"""Of a configuration's reference curves, in the place of .yaml (`moda.training.reference`)."""
SYNC_NETWORK = CHECKPOINTS / "sync.pt"
"""The network that tells by how much a picture is late for its audio (`moda.av_offset`)."""


def shipped(path: Path | str) -> Path:
    """A file that ships, by its path in the checkout; one that is missing keeps the place where it was expected."""
    places = [root / path for root in _SHIPPED]
    return next((place for place in places if os.path.exists(place)), places[0])


def locate(path: Path | str) -> Path:
    """A configured path: as it stands from the current folder, else what ships under it, else as it stands."""
    place = shipped(path)
    return place if not os.path.exists(path) and os.path.exists(place) else Path(path)


def find_config(name: Path | str, folder: Path = Path()) -> Path:
    """The YAML of a path or a name like `default/faco`, first from `folder`; raises `ConfigError` with what ships."""
    path = Path(name)
    for each in (path, path.with_name(f"{path.name}.yaml")) if path.name else ():
        for root in (folder, *_SHIPPED):
            for place in (root / each, root / CONFIGS / each):
                if os.path.exists(place) and not os.path.isdir(place):
                    return place
    names = _names(CONFIGS, ".yaml")
    wanted = str(path.with_suffix("") if path.name else path).removeprefix(f"{CONFIGS}/")
    wrong = f"cannot read the configuration {name}: a folder" if os.path.isdir(folder / path) else None
    raise ConfigError(f"{wrong or f'no such configuration file: {name}'}; {_nearest(wanted, names)}")


def find_reference(config: Path | str) -> Path | None:
    """The reference curves beside a configuration as `find_config` takes it, if it has some."""
    path = find_config(config).with_suffix(REFERENCE_SUFFIX)
    return path if path.is_file() else None


def find_checkpoint(name: Path | str) -> Path:
    """The checkpoint of a path or, of those that ship, a name like `renderer`; else a `CheckpointError` with these.

    A name with a suffix is a path: `renderer.pt` is the user's own or none.
    """
    for place in (locate(name), shipped(CHECKPOINTS / f"{name}.pt")):
        if os.path.exists(place):
            return place
    raise CheckpointError(f"no such checkpoint: {name}; {_nearest(Path(name).stem, _names(CHECKPOINTS, '.pt'))}")


def command(name: str) -> str:
    """How one types a command of this project here, for advice: `moda train`, or `python -m moda train`."""
    if shutil.which("moda"):
        return f"moda {name}"
    python = shutil.which("python")
    same = python is not None and os.path.realpath(python) == os.path.realpath(sys.executable)
    return f"{'python' if same else sys.executable} -m moda {name}"


def _names(kind: Path, suffix: str) -> list[str]:
    """Names of what ships, as `find_config` and `find_checkpoint` take them."""
    found = {
        path.relative_to(root / kind).with_suffix("").as_posix()
        for root in _SHIPPED
        for path in (root / kind).rglob(f"*{suffix}")
    }
    return sorted(found)


def _nearest(wanted: str, names: list[str]) -> str:
    near = difflib.get_close_matches(wanted, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    beside = [name for name in names if os.path.dirname(name) == os.path.dirname(wanted)]
    listed = beside or [name for name in names if name.count("/") < 2]  # not the parts of an ablation
    return f"{hint}these ship: {', '.join(listed) or 'none'}"

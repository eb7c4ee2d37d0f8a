"""Which files of a store preparation has made: only those are ever removed or replaced, and no link is followed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from data_prepare.sources.videos import STORE_FOLDERS
from data_prepare.step_results import PREPARATION_ARRAYS, RESULTS_FILE
from moda.data.arrays import ARRAYS
from moda.data.moments import FILE as MOMENTS
from moda.errors import OutputError

REPORTS = ("report.json", "report.html")
CLIP_FILES = frozenset(
    (
        *("clip.json", RESULTS_FILE, "video.mp4", "audio.wav", "preview.jpg", "preview.json", MOMENTS),
        *(f"{name}.npy" for name in (*ARRAYS, *PREPARATION_ARRAYS)),
    )
)
"""Files of a clip's folder that preparation writes."""
_MARKS = ("clip.json", RESULTS_FILE)
"""A folder that holds one of these was made by preparation."""


def check_place(out: Path) -> None:
    """Raise `OutputError` if a store at `out` would write over, or into, what is not a store's.

    Only `clips` may be a link (to a larger disk): what lies there under other names is left alone.
    """
    for name in STORE_FOLDERS:
        if (out / name).is_symlink() and name != "clips":
            raise OutputError(
                f"{out / name} is a link, and a store's files are never written through one: remove it, or make "
                f"{out} itself the link"
            )
    for name in (*STORE_FOLDERS, *REPORTS):
        path = out / name
        if path.is_dir() and not path.is_symlink() and not any(path.glob("[!.]*")):
            continue  # begun by a run that was killed
        # store.json is looked for last: another shard makes it before it fills the folders
        if (path.exists() or path.is_symlink()) and not (out / "store.json").exists():
            raise OutputError(
                f"{out} is no clip store (it has no store.json), but holds {name}, which a preparation writes: "
                "choose another folder"
            )


def check_clip_place(folder: Path) -> None:
    """Raise `OutputError` if a clip cannot be made at `folder` without replacing what is not preparation's."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        what = "a link" if folder.is_symlink() else "not a folder"
        raise OutputError(f"{folder} is {what}, and a clip of that name is to be made: move it away")
    if folder.is_dir() and not is_made_here(folder):
        taken = sorted(CLIP_FILES.intersection(os.listdir(folder)))
        if taken:
            raise OutputError(
                f"{folder} holds {taken[0]} but neither {' nor '.join(_MARKS)}, so it was not made here: move it away"
            )


def is_made_here(folder: Path) -> bool:
    """Whether a clip's folder is preparation's work; a link is not."""
    return not folder.is_symlink() and any((folder / name).is_file() for name in _MARKS)


def remove_clip(folder: Path) -> None:
    """Remove a clip's own files; its folder stays if it holds others."""
    if not is_made_here(folder):
        return
    for name in sorted(CLIP_FILES, key=lambda name: (name != "clip.json", name in _MARKS)):
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def link_files(source: Path, target: Path, wanted: Callable[[str], bool] = lambda name: True) -> None:
    """Fill a folder with hard links to the files of another whose names are `wanted`.

    Files are only ever replaced, so those of `source` stay as they are. Links are copied, not followed.
    """
    if not source.is_dir():
        return

    def unwanted(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if not wanted(name)] if Path(folder) == source else []

    shutil.copytree(source, target, symlinks=True, ignore=unwanted, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)

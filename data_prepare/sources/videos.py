"""Media files in a folder."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

from moda.errors import DataError

VIDEO_EXTENSIONS = frozenset(
    ".3gp .avi .divx .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .vob .webm .wmv".split(" ")  # noqa: SIM905
)

STORE_FOLDERS = ("clips", "scans", "rejected", "splits")
"""What preparation makes in a clip store."""


def find_videos(folder: Path, skip: Path | None = None) -> list[str]:
    """`find_files` of videos."""
    return find_files(folder, VIDEO_EXTENSIONS, "videos", skip)


def find_files(folder: Path, extensions: Set[str], what: str, skip: Path | None = None) -> list[str]:
    """Names of all files below `folder` with one of these endings, relative to it with forward slashes, sorted.

    Hidden files and folders and everything below `skip` (the store, if it lies inside) are left
    out. Raises `DataError` if there is no such folder.
    """
    if not folder.is_dir():
        reason = f"is a file, wanted a folder of {what}" if folder.is_file() else f"no such folder of {what}"
        raise DataError(f"{reason}: {folder}")
    skipped = None if skip is None else skip.resolve()
    if skipped is not None and folder.resolve().is_relative_to(skipped) and _is_store_folder(folder, skipped):
        raise DataError(f"the {what} lie where the store {skip} keeps its own: name another folder for the store")
    names = []
    above = {os.fspath(folder): frozenset({folder.resolve()})}  # by folder: the real ones on the way to it
    for root, folders, files in os.walk(folder, followlinks=True):
        way = above.pop(root)
        deeper = {name: (Path(root) / name).resolve() for name in folders if not name.startswith(".")}
        folders[:] = [name for name, real in deeper.items() if real != skipped and real not in way]  # no circles
        above |= {os.path.join(root, name): way | {deeper[name]} for name in folders}
        for name in files:
            if Path(name).suffix.lower() in extensions and not name.startswith("."):
                names.append((Path(root) / name).relative_to(folder).as_posix())
    return sorted(names)


def _is_store_folder(folder: Path, store: Path) -> bool:
    """The store's own folder, or one of those that preparation writes into."""
    inside = folder.resolve().relative_to(store).parts
    return not inside or inside[0] in STORE_FOLDERS

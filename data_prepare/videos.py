"""Video files in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from moda.errors import DataError

EXTENSIONS = frozenset(
    ".3gp .avi .divx .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .vob .webm .wmv".split(" ")  # noqa: SIM905
)


def find_videos(folder: Path, skip: Path | None = None) -> list[str]:
    """Names of all videos below `folder`, relative to it with forward slashes, sorted.

    Hidden files and folders and everything below `skip` (the store, if it lies inside) are left
    out. Raises `DataError` if there is no such folder.
    """
    if not folder.is_dir():
        what = "is a file, wanted a folder of videos" if folder.is_file() else "no such folder of videos"
        raise DataError(f"{what}: {folder}")
    names = []
    skipped = skip.resolve() if skip is not None else None
    for root, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and (Path(root) / name).resolve() != skipped]
        for name in files:
            if Path(name).suffix.lower() in EXTENSIONS and not name.startswith("."):
                names.append((Path(root) / name).relative_to(folder).as_posix())
    return sorted(names)

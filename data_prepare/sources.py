"""Which videos there are, what their clips are called, and who is in them."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from moda.errors import DataError

EXTENSIONS = frozenset(
    ".3gp .avi .divx .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .vob .webm .wmv".split(" ")  # noqa: SIM905
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._/-]+")
_HDTF = re.compile(r"^(?:RD|WDA|WRA)_(.+)_\d+$")
_MAX_ID = 120


@dataclass(frozen=True)
class Source:
    """A raw video: its path, its name relative to the folder of videos, its clip id and identity."""

    path: Path
    name: str
    clip_id: str
    identity: str


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


def read_include(path: Path, names: list[str]) -> list[str]:
    """Those of `names` that a text file lists, one a line (empty lines and # lines are skipped).

    Raises `DataError` if the file cannot be read, lists nothing, or lists what is not there.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the list of videos {path}: {error}") from error
    wanted = {line.removeprefix("./") for line in lines if line and not line.startswith("#")}
    if not wanted:
        raise DataError(f"the list of videos is empty: {path}")
    if missing := sorted(wanted - set(names)):
        raise DataError(f"{path} lists {len(missing)} files that are not among the videos, the first is {missing[0]}")
    return [name for name in names if name in wanted]


def read_identities(path: Path) -> dict[str, str]:
    """A TSV with the columns `file` and `identity` (others are ignored) -> {file: identity}; empty ones left out."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            columns = rows.fieldnames or []
            if missing := [name for name in ("file", "identity") if name not in columns]:
                raise DataError(
                    f"{path} has no column '{missing[0]}'; its first line must name columns, got {columns[:6]}"
                )
            return {
                row["file"]: row["identity"].strip() for row in rows if row["file"] and (row["identity"] or "").strip()
            }
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the identities {path}: {error}") from error


def identity_of(name: str, table: dict[str, str], nested: bool) -> str:
    """Who is in a video: the table's word; else its top folder; else the HDTF name; else its stem.

    nested: the videos lie in folders, one a person.
    """
    if name in table:
        return table[name]
    path = Path(name)
    if nested and len(path.parts) > 1 and not table:
        return path.parts[0]
    found = _HDTF.match(path.stem)
    return found.group(1) if found else path.stem


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def clip_ids(names: list[str]) -> dict[str, str]:
    """Unique, stable folder names for videos: the relative path without its ending, in safe characters.

    Where characters are lost, or two paths differ in nothing else, a digest of the path is added.
    """

    def plain(name: str) -> tuple[str, bool]:
        path = Path(name).with_suffix("").as_posix()
        safe = _UNSAFE.sub("_", path).lstrip(".")
        return safe.replace("/", "__")[:_MAX_ID] or "_", safe == path and len(safe.replace("/", "__")) <= _MAX_ID

    plains = {name: plain(name) for name in names}
    counts = Counter(clip_id.lower() for clip_id, _ in plains.values())
    return {
        name: clip_id if lossless and counts[clip_id.lower()] == 1 else f"{clip_id}-{_digest(name)}"
        for name, (clip_id, lossless) in plains.items()
    }


def find_sources(
    folder: Path, store: Path | None = None, include: Path | None = None, identities: Path | None = None
) -> list[Source]:
    """All videos to prepare, sorted by name. Raises `DataError` if there are none (exit code 2)."""
    everything = find_videos(folder, skip=store)
    if not everything:
        raise DataError(f"no videos in {folder} (looked for {' '.join(sorted(EXTENSIONS))})")
    ids = clip_ids(everything)
    names = everything if include is None else read_include(include, everything)
    table = {} if identities is None else read_identities(identities)
    nested = any("/" in name for name in names)
    return [Source(folder / name, name, ids[name], identity_of(name, table, nested)) for name in names]

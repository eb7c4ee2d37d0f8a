"""Which videos there are, what their clips are called, and who is in them."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data_prepare.sources.hdtf import HdtfCut, HdtfPlan, hdtf_identity
from data_prepare.sources.videos import VIDEO_EXTENSIONS, find_videos
from moda.errors import DataError
from moda.reading import read_lines
from moda.representation import FPS

_UNSAFE = re.compile(r"[^A-Za-z0-9._/-]+")
_SHOT = re.compile(r"(.+)_\d{3,}")
_MAX_ID = 120


@dataclass(frozen=True)
class ListedPart:
    """The part of a video that a list names: frames [start, stop) at 25 fps and the crop's lines of the list."""

    start: int
    stop: int
    cut: HdtfCut


@dataclass(frozen=True)
class SourceVideo:
    """A raw video, or a listed part of one.

    name: its path relative to `folder` (with the part's seconds, if it is one). clip_id: of the video;
    several shots add a number.
    """

    path: Path
    folder: Path
    name: str
    clip_id: str
    identity: str
    part: ListedPart | None = None

    @property
    def video(self) -> str:
        """Path of the video relative to `folder`."""
        return self.path.relative_to(self.folder).as_posix()


def source_stamp(path: Path) -> dict[str, int]:
    """Size in bytes and time of change: a source that has the same of both is taken to be the same."""
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def read_include(path: Path, names: list[str], what: str = "videos") -> list[str]:
    """Those of `names` that a text file lists, one a line (empty lines and # lines are skipped).

    Raises `DataError` if the file cannot be read, lists nothing, or lists what is not there.
    """
    lines = [line.strip() for line in read_lines(path)]
    wanted = {line.removeprefix("./") for line in lines if line and not line.startswith("#")}
    if not wanted:
        raise DataError(f"the list of {what} is empty: {path}")
    if missing := sorted(wanted - set(names)):
        raise DataError(f"{path} lists {len(missing)} files that are not among the {what}, the first is {missing[0]}")
    return [name for name in names if name in wanted]


def read_identities(path: Path) -> dict[str, str]:
    """A TSV with the columns `file` and `identity` (others are ignored) -> {file: identity}; empty ones left out."""
    rows = csv.DictReader(read_lines(path), delimiter="\t")
    try:
        columns = rows.fieldnames or []
        if missing := [name for name in ("file", "identity") if name not in columns]:
            raise DataError(f"{path} has no column '{missing[0]}'; its first line must name columns, got {columns[:6]}")
        return {row["file"]: row["identity"].strip() for row in rows if row["file"] and (row["identity"] or "").strip()}
    except csv.Error as error:
        raise DataError(f"cannot read the identities {path}: {error}") from error


def identity_of(name: str, table: dict[str, str], nested: bool) -> str:
    """Who is in a video: by the table; else its top folder; else the HDTF name; else its stem.

    nested: the videos lie in folders, one a person.
    """
    if name in table:
        return table[name]
    path = Path(name)
    if nested and len(path.parts) > 1 and not table:
        return path.parts[0]
    return hdtf_identity(path.stem) or path.stem


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:8]


def clip_ids(names: list[str]) -> dict[str, str]:
    """Unique, stable folder names for videos: the relative path without its ending, in safe characters.

    Where characters are lost, two paths differ in nothing else, or the name is one that a shot of another
    video could have, a digest of the path is added.
    """

    def plain(name: str) -> tuple[str, bool]:
        path = Path(name).with_suffix("").as_posix()
        safe = _UNSAFE.sub("_", path).lstrip(".")
        return safe.replace("/", "__")[:_MAX_ID] or "_", safe == path and len(safe.replace("/", "__")) <= _MAX_ID

    plains = {name: plain(name) for name in names}
    counts = Counter(clip_id.lower() for clip_id, _ in plains.values())

    def alone(clip_id: str) -> bool:
        return counts[clip_id.lower()] == 1 and video_of_shot(clip_id.lower()) not in counts

    return {
        name: clip_id if lossless and alone(clip_id) else f"{clip_id}-{_digest(name)}"
        for name, (clip_id, lossless) in plains.items()
    }


def video_of_shot(clip_id: str) -> str | None:
    """The id of the video whose shot could be called so (`<id>_000` and on), or None."""
    match = _SHOT.fullmatch(clip_id)
    return None if match is None else match.group(1)


def find_sources(
    folder: Path, store: Path | None = None, include: Path | None = None, identities: Path | None = None
) -> list[SourceVideo]:
    """All videos to prepare, sorted by name. Raises `DataError` if there are none (exit code 2)."""
    everything = find_videos(folder, skip=store)
    if not everything:
        raise DataError(f"no videos in {folder} (looked for {' '.join(sorted(VIDEO_EXTENSIONS))})")
    ids = clip_ids(everything)
    names = everything if include is None else read_include(include, everything)
    table = {} if identities is None else read_identities(identities)
    nested = any("/" in name for name in names)
    return [SourceVideo(folder / name, folder, name, ids[name], identity_of(name, table, nested)) for name in names]


def listed_sources(plan: HdtfPlan, folder: Path) -> list[SourceVideo]:
    """The clips of HDTF's lists as sources. Raises `DataError` if not one of their videos is there."""
    if not plan.cuts:
        raise DataError(f"none of the {len(plan.missing)} listed clips has its video in {folder}")
    sources = []
    for cut in plan.cuts:
        name = f"{cut.video.relative_to(folder).as_posix()} {cut.start_seconds:g}-{cut.stop_seconds:g} s"
        part = ListedPart(round(cut.start_seconds * FPS), round(cut.stop_seconds * FPS), cut)
        sources.append(SourceVideo(cut.video, folder, name, cut.clip_id, cut.identity, part))
    return sources

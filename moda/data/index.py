"""STORE/index.json: what a run needs to know of every clip before it trains, in one file instead of five a clip.

    {"version": 1, "clips": {<id>: {"record": {"identity", "frames", "has_audio", "quality", "offset"},
                                    "digest": of pieces of its files, "bytes": {<file>: its length}}}}

Preparation writes it at its end and removes it at its beginning. A clip whose files have another length, or were
written after the index, is read itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moda.data.moments import FILE as MOMENTS
from moda.errors import DataError
from moda.files import write_text
from moda.reading import MAX_LIST_BYTES, read_json

FILE = "index.json"
VERSION = 1
RECORD = ("identity", "frames", "has_audio", "quality", "offset")
"""What the index holds of clip.json."""
DIGESTED = (MOMENTS, "tracked.npy", "video.mp4", "audio.wav")
"""Files that a clip's digest is of."""
_PIECES, _PIECE_BYTES = 4, 1 << 14
"""Of every file, so many pieces of this size, evenly from its beginning to its end, are hashed."""


def files_digest(folder: Path) -> str:
    """Of pieces of the files `DIGESTED`; one that is not there counts as that."""
    digest = hashlib.sha256()
    for name in DIGESTED:
        _add_file(digest, folder / name)
    return digest.hexdigest()[:32]


def _add_file(digest: hashlib._Hash, path: Path) -> None:
    try:
        if not path.is_file():
            raise FileNotFoundError  # also of a pipe, which would wait for its writer
        with path.open("rb") as file:
            length = file.seek(0, 2)
            digest.update(repr((path.name, length)).encode())
            for piece in range(_PIECES):
                file.seek(max(0, length - _PIECE_BYTES) * piece // (_PIECES - 1))
                digest.update(file.read(_PIECE_BYTES))
    except OSError:
        digest.update(repr((path.name, None)).encode())


def lengths(folder: Path) -> dict[str, int]:
    """Bytes of clip.json and of the files `DIGESTED` that are there."""
    found = {}
    for name in ("clip.json", *DIGESTED):
        with contextlib.suppress(OSError):
            found[name] = os.stat(os.path.join(folder, name)).st_size
    return found


def write_index(root: Path, clips: Iterable[tuple[str, Path, dict[str, Any]]]) -> None:
    """Write the index of a store; clips: id, folder and contents of clip.json of each."""
    entries = {
        clip_id: {
            "record": {name: record[name] for name in RECORD if name in record},
            "digest": files_digest(folder),
            "bytes": lengths(folder),
        }
        for clip_id, folder, record in clips
    }
    lines = ",\n".join(f"{json.dumps(clip_id)}: {json.dumps(entry)}" for clip_id, entry in entries.items())
    write_text(root / FILE, f'{{"version": {VERSION}, "clips": {{\n{lines}\n}}}}\n')


class Index:
    """The entries of a store's index, where they are still true."""

    def __init__(self, root: Path, *, trusted: bool) -> None:
        """trusted: the files of the clips are not here to be compared; raises `DataError` without an index then."""
        self._root, self._trusted = root, trusted
        self._entries: dict[str, Any] = {}
        path = root / FILE
        try:
            self._written = path.stat().st_mtime_ns
            contents = read_json(path, limit=MAX_LIST_BYTES)
            if contents.get("version") == VERSION and isinstance(contents.get("clips"), dict):
                self._entries = contents["clips"]
        except (OSError, DataError):  # a store of an earlier version, or a preparation that is not done
            if trusted:
                raise

    @property
    def ids(self) -> list[str]:
        """Ids of the clips, sorted."""
        return sorted(self._entries)

    def entry(self, clip_id: str) -> tuple[dict[str, Any], str | None] | None:
        """What the index holds of a clip's record, and the digest of its files, None if these are to be read.

        None if the record is to be read itself.
        """
        entry = self._entries.get(clip_id)
        if not isinstance(entry, dict) or not entry.keys() >= {"record", "digest", "bytes"}:
            return None
        folder, known = f"{self._root}/clips/{clip_id}/", entry["bytes"]
        if not (self._trusted or self._true(folder, "clip.json", known)):
            return None
        whole = self._trusted or all(self._true(folder, name, known) for name in DIGESTED)
        return {"id": clip_id, **entry["record"]}, str(entry["digest"]) if whole else None

    def _true(self, folder: str, name: str, known: dict[str, int]) -> bool:
        try:
            status = os.stat(folder + name)
        except OSError:
            return name not in known
        return status.st_size == known.get(name) and status.st_mtime_ns <= self._written

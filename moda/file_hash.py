"""SHA-256 of a file's bytes."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits, read anew; raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_hash(path: Path) -> str:
    """The same, read once as long as the file's size and time stay as they are; raises `OSError`."""
    state = path.stat()
    return _known(path, state.st_size, state.st_mtime_ns)


@cache
def _known(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)

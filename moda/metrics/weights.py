"""Files of weights that a user names, by their hash: scores of two are never taken for the same."""

from __future__ import annotations

from pathlib import Path

from moda.errors import CheckpointError
from moda.file_hash import file_hash

SHOWN_DIGITS = 8
"""Hexadecimal digits of a hash that headers show."""


def sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits, read once as long as it stays as it is; raises `CheckpointError`."""
    try:
        return file_hash(path)
    except OSError as error:
        raise CheckpointError(f"no weights at {path}: {error.strerror or error}") from error


def digest(path: Path) -> str:
    """The first `SHOWN_DIGITS` of it."""
    return sha256(path)[:SHOWN_DIGITS]

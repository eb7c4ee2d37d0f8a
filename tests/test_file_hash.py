"""The hash of a file follows its contents, also where it was asked for before."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from moda.file_hash import file_hash, sha256_of


def test_the_hash_is_that_of_the_bytes_and_follows_them(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for number, contents in enumerate((b"one", b"two", b"three")):
        path.write_bytes(contents)
        os.utime(path, ns=(number, number))  # the second is as long as the first
        wanted = hashlib.sha256(contents).hexdigest()
        assert file_hash(path) == sha256_of(path) == wanted
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file_hash(path)

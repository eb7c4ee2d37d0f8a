"""A clip store behind an address (s3://bucket/store): what is read of it is fetched into a folder of this machine.

Its index, lists and store.json are fetched first; a file of a clip when it is first read. The folder holds at most
MODA_STORE_CACHE_GB gigabytes: what was read longest ago makes room. All processes of a machine share it, and
which samples are drawn does not depend on it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from moda.errors import ConfigError, DataError
from moda.files import SUFFIX, make_folder, replacing, write_bytes

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.+)")
DEFAULT_GB = 100.0
TOUCHED_SECONDS = 60.0
"""A file that is read is marked as read at most so often; one marked within twice this time is never removed."""
TRIMMED_SHARE = 0.01
"""After so much of the limit has been fetched, a process looks whether room must be made."""
ROOM_SHARE = 0.1
"""So much of the limit is then made free."""
AT_ONCE = 32
"""Files that are fetched at once where many are wanted."""


def address(root: Path | str) -> str | None:
    """The address that a configured path is, or None; a `Path` has lost one of its two slashes."""
    found = _ADDRESS.fullmatch(str(root))
    if found is None or os.path.exists(root):
        return None
    scheme, rest = found.groups()
    return f"{scheme}://{'/' if scheme in ('file', 'local') else ''}{rest.rstrip('/')}"


class RemoteStore:
    """The files of one store; may be sent to another process."""

    def __init__(self, url: str, lists: Sequence[str], index: str) -> None:
        """lists: files that are fetched now, where they are there; so is `index`, without which there is no store.

        Raises `DataError` if it cannot be reached or has no index, `ConfigError` if its kind of address needs
        an extra or a setting is wrong.
        """
        self.url = url
        self._top, self._limit = _settings()
        contents = self._read(index, f"; wanted a store that 'moda prepare' has finished, with its {index}")
        # a store that was prepared again has another index: nothing fetched before is taken for its files
        name = hashlib.sha256(f"{url}\n".encode() + contents).hexdigest()[:16]
        self.folder = self._top / name
        """Where its files are on this machine, in the store's layout."""
        self._fetched = 0
        make_folder(self.folder)
        write_bytes(self.folder / index, contents)
        for name in lists:
            try:
                contents = self._read(name)
            except DataError:
                continue  # said where it is wanted
            make_folder((self.folder / name).parent)
            write_bytes(self.folder / name, contents)

    def fetch(self, name: str) -> Path:
        """A file of the store by its path in it, on this machine; raises `DataError` if it cannot be had."""
        path = self.folder / name
        try:
            if time.time() - path.stat().st_mtime > TOUCHED_SECONDS:
                os.utime(path)
            return path
        except OSError:
            pass  # not there, or just removed
        make_folder(path.parent)
        with replacing(path) as temporary:
            try:
                _files(self.url, os.getpid()).get_file(f"{self.url}/{name}", str(temporary))
            except Exception as error:  # of a network there are a hundred kinds
                raise DataError(f"cannot fetch {self.url}/{name}: {_reason(error)}") from error
            os.utime(temporary)
            self._fetched += temporary.stat().st_size
        if self._fetched > TRIMMED_SHARE * self._limit:
            self._fetched = 0
            make_room(self._top, self._limit)
        return path

    def fetch_all(self, names: Sequence[str]) -> None:
        """Fetch many files at once."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for _ in threads.map(self.fetch, names):
                pass

    def _read(self, name: str, hint: str = "") -> bytes:
        try:
            return bytes(_files(self.url, os.getpid()).cat_file(f"{self.url}/{name}"))
        except ImportError as error:
            raise ConfigError(f"{self.url} needs another package: pip install 'moda[remote]' ({error})") from error
        except Exception as error:
            raise DataError(f"cannot fetch {self.url}/{name}: {_reason(error)}{hint}") from error


def make_room(top: Path, limit_bytes: float) -> None:
    """Remove the files below `top` that were read longest ago, if all are more than the limit."""
    files = []
    for folder, _, names in os.walk(top):
        for name in names:
            if not name.endswith(SUFFIX):
                try:
                    status = os.stat(os.path.join(folder, name))
                except OSError:
                    continue  # another process makes room too
                files.append((status.st_mtime, status.st_size, os.path.join(folder, name)))
    total = sum(size for _, size, _ in files)
    if total <= limit_bytes:
        return
    for read, size, path in sorted(files):
        if total <= (1 - ROOM_SHARE) * limit_bytes or time.time() - read < 2 * TOUCHED_SECONDS:
            return
        try:
            os.unlink(path)
        except OSError:
            continue
        total -= size


def _settings() -> tuple[Path, float]:
    """Folder of all fetched stores and its limit in bytes, from the environment."""
    top = Path(os.environ.get("MODA_STORE_CACHE") or Path.home() / ".cache" / "moda" / "stores")
    text = os.environ.get("MODA_STORE_CACHE_GB") or str(DEFAULT_GB)
    try:
        limit = float(text) * 1e9
    except ValueError:
        limit = 0.0
    if not 0.0 < limit < float("inf"):
        raise ConfigError(f"MODA_STORE_CACHE_GB is {text!r}, wanted a number of gigabytes above 0")
    return top, limit


@lru_cache(maxsize=64)
def _files(url: str, process: int) -> AbstractFileSystem:
    """The file system of an address; one for each process, since its connections do not outlive a fork."""
    import fsspec

    return fsspec.core.url_to_fs(url)[0]


def _reason(error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return "no such file" if isinstance(error, FileNotFoundError) else reason[:200]

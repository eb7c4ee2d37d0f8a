"""Files that appear whole or not at all, and what becomes of those that a killed program left.

What is being written stands beside its target as `.NAME.<slot>.moda-tmp`, locked by the process that writes
it, and is renamed at the end. A lock goes with its process, however that ends: a temporary file of ours that
nobody holds is litter, and the next writing of the same target removes it. Only names of this form are ever
removed, and no link is followed.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from moda.errors import OutputError

SUFFIX = ".moda-tmp"
_OURS = re.compile(r"\..+\.[a-z]*\d+\.moda-tmp", re.DOTALL)
_SCRATCH = re.compile(r"moda-[0-9a-f]{12}")
_SLOTS = 16
"""So many processes may write one target at a time."""
_MAX_NAME_BYTES = 200
"""Of a target's name inside that of its temporary file; file systems allow 255."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
"""What `flock` says on a file system that has none."""

log = logging.getLogger(__name__)
_held: set[int] = set()
"""Descriptors that hold locks: a forked child closes them, so that the lock goes with this process alone."""
_claims: set[Path] = set()
"""Names that this process is making or holds: a signal between two lines may end the blocks that would remove them."""


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary file to write; when the block ends well it takes the place of `path`, else it is removed.

    durable: also wait until the disk has it. An `OSError`, in the block too, becomes an `OutputError`.
    """
    try:
        with temporary_file(path) as temporary:
            yield temporary
            if durable:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, to be written and renamed; what is left of it at the end is removed.

    Raises `OSError`.
    """
    with _claimed(_slots(path), folder=False) as temporary:
        yield temporary


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, likewise. Raises `OSError`."""
    with _claimed(_slots(path), folder=True) as temporary:
        yield temporary


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder below the system's temporary one; those of killed programs are removed first.

    Raises `OutputError` for what is wrong there; an `OSError` that names another file passes.
    """
    root = Path(tempfile.gettempdir())
    names = [root / f"moda-{secrets.token_hex(6)}" for _ in range(_SLOTS)]
    try:
        for entry in list(os.scandir(root)):
            if _SCRATCH.fullmatch(entry.name):
                _remove_unheld(Path(entry.path))
        with _claimed(names, folder=True) as folder:
            folder.chmod(0o700)
            yield folder
    except OSError as error:
        path = Path(os.fsdecode(error.filename or root))
        if path != root and not any(path.is_relative_to(name) for name in names):
            raise
        raise OutputError(f"cannot work in {root}: {error.strerror or error}; set TMPDIR to another folder") from error


def clear_litter(folder: Path) -> None:
    """Remove the temporary files and folders directly in `folder` that no running process holds."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if _OURS.fullmatch(entry.name):
                _remove_unheld(Path(entry.path))


@contextmanager
def hold(lock: Path, busy: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `lock`, made if need be, for one process at a time; it is free again when that ends.

    shared: together with others that hold it shared, but with none that holds it alone.
    Raises `OutputError`: with the words of `busy` when another holds it, and when it cannot be made.
    """
    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS) and not os.access(lock.parent, os.W_OK):
            yield  # nobody can write there
            return
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise OutputError(f"cannot lock {lock}: {reason}") from error
    with _open(descriptor):
        try:
            if not _lock(descriptor, shared):
                raise OutputError(busy)
        except OSError as error:
            log.warning("cannot lock %s (%s): let no other program write there", lock, error.strerror)
        yield


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; raises `OutputError` if it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror or error}; choose another output"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into the folder {folder}: no permission; choose another output")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; raises `OutputError` if the place cannot be written."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, likewise."""
    write_bytes(path, text.encode("utf-8"))


def write_pieces(path: Path, pieces: Iterable[str]) -> None:
    """Write a text file, UTF-8, likewise, a piece at a time: a large one is never in memory whole."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(pieces)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file likewise; a number that is not finite is a `ValueError`.

    A function in it is called for its value when that is written, so that a large record need not be in memory whole.
    """
    encoder = json.JSONEncoder(indent=1, allow_nan=False, default=_called)
    write_pieces(path, chain(encoder.iterencode(value), ["\n"]))


def _called(value: object) -> object:
    if callable(value):
        return value()
    raise TypeError(f"{type(value).__name__} is no JSON")


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write an array likewise; the same array gives the same bytes."""
    values = np.ascontiguousarray(array).reshape(array.shape)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(values))
        file.write(values.data)  # not np.save, whose message on a full disk does not say so


def write_npz(path: Path, arrays: dict[str, np.ndarray], *, compress: bool = False) -> None:
    """Write arrays by name likewise."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        save: Callable[..., None] = np.savez_compressed if compress else np.savez
        save(file, **arrays)


def _slots(path: Path) -> list[Path]:
    """Names for temporary files of `path`, in the order in which they are tried."""
    name = os.fsencode(path.name)
    if len(name) > _MAX_NAME_BYTES:
        name = name[: _MAX_NAME_BYTES - 17] + b"-" + hashlib.sha256(name).hexdigest()[:16].encode()
    slots = [*range(_SLOTS), secrets.randbelow(10**9) + _SLOTS]  # the last one where no litter can be known for it
    return [path.with_name(f".{os.fsdecode(name)}.{slot}{SUFFIX}") for slot in slots]


@contextmanager
def _claimed(names: list[Path], *, folder: bool) -> Iterator[Path]:
    """Make the first of `names` that nobody holds, and hold it; unheld ones are removed."""
    for name in names:
        _remove_unheld(name)
    for name in names:
        _claims.add(name)
        try:
            descriptor = _make(name, folder)
        except OSError as error:
            _claims.remove(name)
            if isinstance(error, FileExistsError):
                continue
            raise
        with _open(descriptor):
            with contextlib.suppress(OSError):  # a file system without locks: the name is ours all the same
                if not _lock(descriptor):
                    _claims.discard(name)
                    continue  # another process has taken it for litter
            if not _is_there(descriptor, name):
                _claims.discard(name)
                continue
            try:
                yield name
            finally:
                if descriptor in _held and _is_there(descriptor, name):  # else it was renamed
                    _remove(name)
                _claims.discard(name)
            return
    raise OSError(errno.EBUSY, f"{len(names)} other processes are writing it", str(names[0]))


def _make(name: Path, folder: bool) -> int:
    if folder:
        name.mkdir()
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _remove_unheld(path: Path) -> None:
    """Remove a file or folder of our own that nobody holds: no link, nothing of another kind or another user."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    with _open(descriptor), contextlib.suppress(OSError):
        status = os.fstat(descriptor)
        ours = status.st_uid == os.geteuid() and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
        if ours and _lock(descriptor) and _is_there(descriptor, path):
            _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):  # Linux, macOS
        shutil.rmtree(path, ignore_errors=True)


def _is_there(descriptor: int, name: Path) -> bool:
    """Whether `name` still is what was opened; while it is held, nobody else renames or removes it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(name))
    except OSError:
        return False


def _lock(descriptor: int, shared: bool = False) -> bool:
    """Whether an exclusive or shared lock could be had at once; raises `OSError` where there are no locks."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise
        return False
    return True


@contextmanager
def _open(descriptor: int) -> Iterator[None]:
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:
            _held.remove(descriptor)
            os.close(descriptor)


def _forget_locks() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


def _in_child() -> None:
    _forget_locks()
    _claims.clear()


def _at_exit() -> None:
    """What a signal interrupted before or after its block is removed when the program ends."""
    _forget_locks()
    for name in _claims:
        _remove_unheld(name)


os.register_at_fork(after_in_child=_in_child)
atexit.register(_at_exit)

"""Readers for small files that may be anything: what a file claims is checked before anything is made of it.

Whatever is wrong becomes one error that names the file; none of them runs code, follows what the file says
elsewhere, waits for a pipe, or takes more memory than a limit allows.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from moda.errors import DataError, MediaError, ModaError

MAX_TEXT_BYTES = 1 << 24
"""Of a text or JSON file; 16 MB of brackets become some 400 MB of lists."""
MAX_LIST_BYTES = 1 << 28
"""Of a list with a name a line."""
MAX_ARRAY_BYTES = 1 << 28
"""Of all arrays that are read from one file, unless the caller knows better."""
_HEADER_BYTES = 12_000
"""An array's header is within so many; numpy refuses longer ones itself."""
_CHUNK_BYTES = 1 << 20
_NUMBERS = "biufSU"
"""Kinds of dtype that are read: numbers and text, no objects and no records."""


class Claim(NamedTuple):
    """What an array in a file says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    """Whether columns come first."""
    start: int
    """Bytes of the header before the values."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def require_file(path: Path, what: str) -> None:
    """Raise `MediaError` unless `path` is a file that can be opened and holds something."""
    if not path.exists():
        raise MediaError(f"no such {what}: {path}")
    if path.is_dir():
        raise MediaError(f"wanted a {what}, got a folder: {path}")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise MediaError(f"cannot read {what} {path}: {error.strerror}") from error
    if empty:
        raise MediaError(f"the {what} is empty (0 bytes): {path}")


def read_bytes(
    path: Path,
    *,
    limit: int = MAX_TEXT_BYTES,
    pipes: bool = False,
    what: str = "",
    hint: str = "",
    error: type[ModaError] = DataError,
) -> bytes:
    """A file of at most `limit` bytes; else an `error`, with `what` before the path and `hint` at the end.

    pipes: also what is not a regular file, at the risk of waiting for it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | (0 if pipes else os.O_NONBLOCK))
        with open(descriptor, "rb") as file:
            if not pipes and not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("not a regular file")
            data = file.read(limit + 1)
    except (OSError, ValueError) as failed:  # ValueError: also a NUL in the name
        raise error(f"cannot read {what}{path}: {_reason(failed)}{hint}") from failed
    if len(data) > limit:
        raise error(f"cannot read {what}{path}: it has more than {limit:,} bytes, wanted a small file{hint}")
    return data


def read_text(
    path: Path,
    *,
    limit: int = MAX_TEXT_BYTES,
    pipes: bool = False,
    what: str = "",
    hint: str = "",
    error: type[ModaError] = DataError,
) -> str:
    """A text file in UTF-8, with or without a byte order mark, likewise."""
    data = read_bytes(path, limit=limit, pipes=pipes, what=what, hint=hint, error=error)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as failed:
        raise error(f"cannot read {what}{path}: not text in UTF-8 (byte {failed.start}){hint}") from failed


def read_lines(path: Path) -> list[str]:
    """Lines of a list: UTF-8, or UTF-16 if a byte order mark says so.

    A name that is no UTF-8 is spelled as Python spells that of the file (`os.fsdecode`), so that the two are equal.
    """
    data = read_bytes(path, limit=MAX_LIST_BYTES)
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16")
        else:
            text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    except UnicodeDecodeError as failed:
        raise DataError(f"cannot read {path}: not text in UTF-16 (byte {failed.start})") from failed
    return re.split("\r\n|\r|\n", text)


def read_json(
    path: Path, *, limit: int = MAX_TEXT_BYTES, hint: str = "", error: type[ModaError] = DataError
) -> dict[str, Any]:
    """A JSON object, with finite numbers."""
    text = read_text(path, limit=limit, hint=hint, error=error)
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as failed:
        reason = "nested too deeply" if isinstance(failed, RecursionError) else failed
        raise error(f"cannot read {path}: not valid JSON: {reason}{hint}") from failed
    if not isinstance(value, dict):
        raise error(f"{path} holds {type(value).__name__}, wanted a JSON object{hint}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is beyond what a number can be")
    return value


def array_claims(path: Path, names: Iterable[str], *, hint: str = "") -> dict[str, Claim]:
    """Shapes and dtypes of arrays in an .npz, from their headers alone; no pickles."""
    try:
        with _archive(path) as archive:
            return {name: _claim(archive, name) for name in names}
    except Exception as failed:  # of a damaged archive zipfile and numpy raise a dozen kinds
        raise DataError(f"cannot read {path}: {_reason(failed)}{hint}") from failed


def read_arrays(
    path: Path,
    names: Iterable[str],
    *,
    optional: Iterable[str] = (),
    limit: int = MAX_ARRAY_BYTES,
    hint: str = "",
    error: type[ModaError] = DataError,
) -> dict[str, np.ndarray]:
    """Arrays of an .npz, in this machine's byte order; refused if they claim more than `limit` bytes in all.

    optional: names that are left out where the file has no such array.
    """
    try:
        with _archive(path) as archive:
            there = set(archive.namelist())
            claims = {name: _claim(archive, name) for name in names}
            claims |= {name: _claim(archive, name) for name in optional if f"{name}.npy" in there}
            total = sum(claim.size_bytes for claim in claims.values())
            if total > limit:
                raise ValueError(f"its arrays claim {total:,} bytes, wanted at most {limit:,}")
            return {name: _array(archive, name, claim) for name, claim in claims.items()}
    except Exception as failed:
        raise error(f"cannot read {path}: {_reason(failed)}{hint}") from failed


def _archive(path: Path) -> zipfile.ZipFile:
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")
    return zipfile.ZipFile(path)


def _reason(failed: Exception) -> str:
    reason = (failed.strerror if isinstance(failed, OSError) else None) or str(failed) or type(failed).__name__
    return reason if len(reason) <= 200 else f"{reason[:200]}..."


def _claim(archive: zipfile.ZipFile, name: str) -> Claim:
    """An array's claim, compared with the size that the archive claims, which it cannot exceed in being unpacked."""
    if f"{name}.npy" not in archive.namelist():
        raise ValueError(f"it has no '{name}'")
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"'{name}' is packed in a way that is not used for arrays")
    with archive.open(member) as file:
        head = io.BytesIO(file.read(_HEADER_BYTES))
    version = np.lib.format.read_magic(head)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(head)
    if dtype.kind not in _NUMBERS or min(shape, default=0) < 0:
        raise ValueError(f"'{name}' holds {dtype} {shape}, wanted numbers")
    claim = Claim(shape, dtype, fortran, head.tell())
    if claim.start + claim.size_bytes != member.file_size:
        raise ValueError(f"'{name}' claims {dtype} {shape}, which does not fit its {member.file_size:,} bytes")
    return claim


def _array(archive: zipfile.ZipFile, name: str, claim: Claim) -> np.ndarray:
    values = np.empty(math.prod(claim.shape), claim.dtype)
    with archive.open(f"{name}.npy") as file:
        file.read(claim.start)
        rest = values.view(np.uint8).data
        while part := file.read(min(len(rest), _CHUNK_BYTES)):  # the checksum is compared with the last one
            rest[: len(part)] = part
            rest = rest[len(part) :]
    if len(rest):
        raise ValueError(f"'{name}' is cut short")
    shaped = values.reshape(claim.shape, order="F" if claim.fortran else "C")
    return shaped.astype(claim.dtype.newbyteorder("="), order="C", copy=False)

"""Reading what `torch.save` writes: a tree of plain values and tensors, with every claim checked.

torch's own reader trusts the sizes that a file states: 50 bytes can make it take gigabytes, and a storage can
claim more values than its record has. Here nothing is called but what is named below, nothing is packed, and
no tensor is larger than the bytes that stand in the file for it.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

MAX_PICKLE_BYTES = 1 << 21
"""Of what describes the tree; a training state of ten thousand tensors has half of it."""
MAX_DEPTH = 32
MAX_VALUES = 2_000_000
"""Of the tree, in levels and in all."""
_SHARED = 8
"""So many times, at most, the bytes of a file are in all its tensors together: some share theirs."""
_PLAIN = """
PROTO STOP MARK POP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE EMPTY_LIST APPEND APPENDS
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT SETITEM SETITEMS BINGET LONG_BINGET BINPUT LONG_BINPUT GLOBAL REDUCE
BUILD BINPERSID
"""
"""What pickle's second protocol, in which torch writes, needs for such trees."""
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class _Storage(NamedTuple):
    dtype: object
    key: object
    size: object
    """Values."""


class _Claim(NamedTuple):
    """A tensor as the file states it."""

    storage: object
    offset: object
    shape: object
    strides: object


def read_tensors(path: Path) -> Any:
    """The tree in a file that `torch.save` wrote, all its tensors on the CPU.

    Raises `OSError` if it cannot be read, `pickle.UnpicklingError` if it holds more than plain values and tensors,
    and `ValueError` for whatever else is wrong with it.
    """
    if path.exists() and not path.is_file():
        path.read_bytes()  # a folder says so
        raise ValueError("not a regular file")
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            if any(record.compress_type != zipfile.ZIP_STORED or record.flag_bits & 1 for record in records):
                raise ValueError("its records are packed, which torch.save does not do")
            size = path.stat().st_size
            if sum(record.file_size for record in records) > size:
                raise ValueError("its records claim more bytes than the file has")
            names = [record.filename for record in records if record.filename.endswith("/data.pkl")]
            if len(names) != 1:
                raise ValueError("it has no tree")
            return _Reader(archive, names[0].removesuffix("data.pkl"), size).read()
    except (OSError, ValueError, pickle.UnpicklingError):
        raise
    except Exception as error:  # of a damaged archive or tree zipfile, pickle and torch raise a dozen kinds
        raise ValueError(f"{type(error).__name__}: {error}") from error


def read_published(path: Path) -> Any:
    """The same for weights that others publish, some of which are in the form that torch wrote before 2020."""
    if zipfile.is_zipfile(path):
        return read_tensors(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError):
        raise
    except Exception as error:  # what is no such file gives a dozen kinds
        raise ValueError(f"{type(error).__name__}: {error}") from error


class _Reader:
    """Makes the tree of one archive. folder: what all its names begin with."""

    def __init__(self, archive: zipfile.ZipFile, folder: str, size_bytes: int) -> None:
        self._archive, self._folder = archive, folder
        self._storages: dict[tuple[str, torch.dtype], Tensor] = {}
        self._values, self._left = 0, _SHARED * size_bytes

    def read(self) -> Any:
        order = f"{self._folder}byteorder"
        if order in self._archive.namelist() and self._archive.read(order) != sys.byteorder.encode():
            raise ValueError("it was written on a machine of another byte order")
        if self._archive.getinfo(f"{self._folder}data.pkl").file_size > MAX_PICKLE_BYTES:
            raise ValueError("its tree is too large")
        data = self._archive.read(f"{self._folder}data.pkl")
        opcodes = _PLAIN.split()
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in opcodes:
                raise pickle.UnpicklingError(f"{opcode.name} is not used in trees of tensors")
            if "PUT" in opcode.name and int(argument or 0) > len(data):
                raise ValueError("its tree numbers more values than it has")
        return self._made(_Unpickler(io.BytesIO(data)).load(), 0)

    def _made(self, node: object, depth: int) -> Any:
        """A copy of a node in which claims are tensors; each place of a shared node counts."""
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise ValueError("its tree is nested or shared without end")
        if type(node) is _Claim:
            return self._tensor(node)
        if isinstance(node, dict):
            if not all(isinstance(key, (str, int)) for key in node):
                raise ValueError("a key of its tree is neither a name nor a number")
            return {key: self._made(value, depth + 1) for key, value in node.items()}
        if type(node) in (list, tuple):
            values = [self._made(value, depth + 1) for value in node]  # type: ignore[attr-defined]
            return tuple(values) if type(node) is tuple else values
        if type(node) is int and not -(2**63) <= node < 2**64:
            raise ValueError("a number of its tree is beyond 64 bits")
        if node is not None and type(node) not in (str, int, float, bool):
            raise pickle.UnpicklingError(f"a {type(node).__name__} is not used in trees of tensors")
        return node

    def _tensor(self, claim: _Claim) -> Tensor:
        """The tensor of a claim that its storage bears out."""
        shape, strides = _sides(claim.shape), _sides(claim.strides)
        if type(claim.storage) is not _Storage:
            raise ValueError("a tensor states no storage")
        storage = self._values_of(claim.storage)
        offset = claim.offset
        if type(offset) is not int or offset < 0:
            raise ValueError("a tensor begins nowhere")
        count = math.prod(shape)
        self._left -= count * storage.element_size()
        if count > len(storage) or self._left < 0:
            raise ValueError(f"a tensor {shape} claims more values than the file has")
        return storage.as_strided(shape, strides, offset) if count else storage.new_empty(shape)

    def _values_of(self, storage: _Storage) -> Tensor:
        dtype, key = storage.dtype, storage.key
        if not isinstance(dtype, torch.dtype) or type(key) is not str or type(storage.size) is not int:
            raise ValueError("a storage states no type, record or size")
        if (key, dtype) not in self._storages:
            name = f"{self._folder}data/{key}"
            if self._archive.getinfo(name).file_size != storage.size * dtype.itemsize:
                raise ValueError(f"the storage {key} claims {storage.size} values, which its record has not")
            data = bytearray(self._archive.read(name))
            self._storages[key, dtype] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self._storages[key, dtype]


class _Unpickler(pickle.Unpickler):
    """Takes tensors for what they claim and calls nothing of the file's choice."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) in _CALLED:
            return _CALLED[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} is not used in trees of tensors")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count = pid
        if kind != "storage":
            raise ValueError(f"a {kind} is kept outside its tree")
        return _Storage(dtype, key, count)


class _Rebuild:
    """A function to which a file can give no attributes."""

    __slots__ = ()

    def __call__(self, storage: object, offset: object, shape: object, strides: object, *_: object) -> _Claim:
        return _Claim(storage, offset, shape, strides)


_CALLED: dict[tuple[str, str], Callable[..., object]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("collections", "OrderedDict"): OrderedDict,
}


def _sides(stated: object) -> tuple[int, ...]:
    """A shape or strides: whole numbers, 0 and more, of at most 16 dimensions."""
    if type(stated) is not tuple or len(stated) > 16:
        raise ValueError("a tensor states no shape")
    if not all(type(side) is int and side >= 0 for side in stated):
        raise ValueError("a tensor states an impossible shape")
    return stated

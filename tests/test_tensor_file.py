"""Files of tensors: what torch writes comes back, and false claims are refused before memory is taken."""

from __future__ import annotations

import io
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from moda.tensor_file import read_tensors

KINDS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
         torch.uint8, torch.bool]  # fmt: skip


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, torch.Tensor):
        return found.dtype == wanted.dtype and found.shape == wanted.shape and torch.equal(found, wanted)
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, (list, tuple)):
        return type(found) is type(wanted) and all(same(a, b) for a, b in zip(found, wanted, strict=True))
    return type(found) is type(wanted) and found == wanted


def test_what_torch_writes_comes_back(tmp_path: Path) -> None:
    shared = torch.arange(12.0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    tree = {
        "kinds": [torch.ones(2, 3).to(kind) for kind in KINDS],
        "views": [shared, shared.view(3, 4).T, shared[2:5], shared[::3], torch.tensor(3.0), torch.zeros(0, 3)],
        "plain": {"a": None, "b": True, "c": -3, "d": 2.5, "e": "text ü", "f": (1, (2, [3])), 7: 2**40, "g": 2**63},
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "parameter": network[0].weight.detach(),
    }
    torch.save(tree, tmp_path / "a.pt")
    found = read_tensors(tmp_path / "a.pt")
    assert same(found, {**tree, "network": dict(network.state_dict())})
    assert found["views"][0].data_ptr() == found["views"][1].data_ptr(), "what was shared still is"
    found["views"][0].add_(1)


def archive(path: Path, tree: bytes, records: dict[str, bytes] | None = None, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a/data.pkl", tree)
        for name, data in (records or {}).items():
            file.writestr(f"a/{name}", data)
    return path


class Made:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Stored:
    """A storage as torch names it: type, record, size."""

    def __init__(self, kind: Any, key: Any, size: Any) -> None:
        self.id = ("storage", kind, key, "cpu", size)


def pickled(tree: Any) -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return obj.id if isinstance(obj, Stored) else None

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(tree)
    return buffer.getvalue()


def tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Made:
    return Made(torch._utils._rebuild_tensor_v2, storage, offset, shape, strides, False, OrderedDict())


ROOM = Stored(torch.FloatStorage, "0", 4)
RECORDS = {"data/0": bytes(16), "data/1": bytes(1 << 16)}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (tensor(ROOM, 0, (2, 2), (2, 1)), None),
        (tensor(Stored(torch.FloatStorage, "0", 10**9), 0, (10**9,), (1,)), "which its record has not"),
        (tensor(Stored(torch.FloatStorage, "0", -1), 0, (1,), (1,)), "which its record has not"),
        (tensor(Stored(torch.FloatStorage, "7", 4), 0, (1,), (1,)), "no item named"),
        (tensor(Stored(torch.FloatStorage, 0, 4), 0, (1,), (1,)), "no type, record or size"),
        (tensor(Stored("float", "0", 4), 0, (1,), (1,)), "no type, record or size"),
        (tensor(Stored(torch.FloatStorage, "0", 4.0), 0, (1,), (1,)), "no type, record or size"),
        (tensor(ROOM, 0, (10**12,), (0,)), "more values than the file has"),
        (tensor(ROOM, 0, (10**6, 10**6), (0, 0)), "more values than the file has"),
        (tensor(ROOM, 0, (5,), (1,)), "more values than the file has"),
        (tensor(ROOM, 3, (2,), (1,)), "out of bounds"),
        (tensor(ROOM, 0, (2,), (10**15,)), "out of bounds"),
        (tensor(ROOM, -1, (2,), (1,)), "begins nowhere"),
        (tensor(ROOM, 0, (-2,), (1,)), "impossible shape"),
        (tensor(ROOM, 0, (2,), (-1,)), "impossible shape"),
        (tensor(ROOM, 0, [2], (1,)), "states no shape"),
        (tensor(ROOM, 0, (1,) * 40, (1,) * 40), "states no shape"),
        (tensor(ROOM, 0, (2,), (1, 1)), "RuntimeError"),
        (tensor([1, 2], 0, (2,), (1,)), "states no storage"),
        ([tensor(Stored(torch.FloatStorage, "1", 1 << 14), 0, (1 << 14,), (1,)) for _ in range(1000)], "more values"),
        ({(1, 2): 3}, "neither a name nor a number"),
        ({None: 3}, "neither a name nor a number"),
        (1 << 100, "beyond 64 bits"),
    ],
)  # fmt: skip
def test_claims_are_checked_against_the_file(tmp_path: Path, made: Any, words: str | None) -> None:
    path = archive(tmp_path / "a.pt", pickled(made), RECORDS)
    if words is None:
        assert torch.equal(read_tensors(path), torch.zeros(2, 2))
        return
    with pytest.raises(ValueError, match=words):
        read_tensors(path)


@pytest.mark.parametrize(
    "made",
    [Made(bytearray, 10**11), Made(torch.Tensor, 10**11), Made(exec, "1"), Made(set, [1]), Made(complex, 1), b"bytes",
     bytearray(b"x"), {1, 2}, OrderedDict, torch.float32, torch.Size([1]), ROOM, torch.device("cpu"),
     nn.Parameter(torch.ones(1))],
)  # fmt: skip
def test_nothing_else_is_made(tmp_path: Path, made: Any) -> None:
    with pytest.raises(pickle.UnpicklingError):
        read_tensors(archive(tmp_path / "a.pt", pickled(made), RECORDS))


def test_what_grows_or_never_ends_is_refused(tmp_path: Path) -> None:
    shared: list[Any] = ["x"] * 10
    for _ in range(10):
        shared = [shared] * 10
    endless: list[Any] = []
    endless.append(endless)
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    for tree in (shared, endless, deep):
        with pytest.raises(ValueError, match="without end"):
            read_tensors(archive(tmp_path / "a.pt", pickled(tree)))
    many = b"\x80\x02N" + b"r" + struct.pack("<I", 2**32 - 1) + b"."
    with pytest.raises(ValueError, match="numbers more values"):
        read_tensors(archive(tmp_path / "a.pt", many))
    with pytest.raises(ValueError, match="only 1 remain"):
        read_tensors(archive(tmp_path / "a.pt", b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"."))
    with pytest.raises(ValueError, match="too large"):
        read_tensors(archive(tmp_path / "a.pt", b"\x80\x02" + b"N0" * (1 << 20) + b"N."))


def test_a_packed_archive_is_refused_by_its_claim(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("a/data.pkl", pickled(tensor(Stored(torch.FloatStorage, "0", 1 << 25), 0, (1 << 25,), (1,))))
        with file.open("a/data/0", "w") as record:
            for _ in range(128):
                record.write(bytes(1 << 20))
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(ValueError, match="are packed"):
            read_tensors(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20 and time.process_time() - began < 1
    finally:
        tracemalloc.stop()


def test_records_that_overlap_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pt", pickled([1]), {f"data/{key}": bytes(1000) for key in range(10)})
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")
    place = data.index(b"PK\x01\x02", first + 4)
    one = data[place + 42 : place + 46]
    while (place := data.find(b"PK\x01\x02", place + 4)) > 0:
        data[place + 42 : place + 46] = one  # every record begins where the first does
        data[place + 20 : place + 28] = struct.pack("<II", 20_000, 20_000)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="more bytes than the file has"):
        read_tensors(path)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_tensors(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("b", "c")
    with pytest.raises(ValueError, match="it has no tree"):
        read_tensors(tmp_path / "a.zip")

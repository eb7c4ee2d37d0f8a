"""Broken files for every reader: each gives a result or one line, in time and memory, and never a traceback.

    python -m tests.fuzz --inputs 20000            all readers
    python -m tests.fuzz --only motion --seed 7    one, other files

An input is a good file of its reader, changed by its number: bytes, values of its tree, claims of its arrays.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from moda.errors import ModaError
from tests.fuzz_readers import READERS, Reader

CPU_SECONDS, WALL_SECONDS = 10, 120
"""For one input."""
MAX_GROWTH_MB = 1024
ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2**31, 2**63 - 1, -(2**63), 1e308, -0.5, 1e-320, "", "x" * 3000, "\u202e\x1b[31m",
    "..", "../../b", "/etc/passwd", "NaN", "a\x00b", "2024-01-01", [], {}, [[]], [1, "a", None], {"a": 1},
    {"": {}}, [0] * 500,
]  # fmt: skip


class Failure(NamedTuple):
    """An input that did not end as it should."""

    number: int
    reader: str
    what: str


def changed_tree(tree: Any, chance: random.Random) -> Any:
    """A copy of a tree in which one place is another value, is gone, or stands elsewhere too."""
    places = list(_places(tree, ()))
    if not places:
        return chance.choice(ODD)
    tree = json.loads(json.dumps(tree)) if _plain(tree) else _copied(tree)
    *above, last = chance.choice(places)
    parent = tree
    for key in above:
        parent = parent[key]
    act = chance.random()
    if act < 0.15:
        del parent[last]
    elif act < 0.25 and isinstance(parent, dict):
        parent[chance.choice(["", "x", "base", "0", "<<"])] = parent.pop(last)
    else:
        parent[last] = chance.choice(ODD)
    return tree


def _plain(tree: Any) -> bool:
    try:
        json.dumps(tree)
    except TypeError:
        return False
    return True


def _copied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(value) for value in tree] if isinstance(tree, list) else tree


def _places(tree: Any, above: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:20]) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from _places(value, (*above, key))


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Flipped, cut, doubled, overwritten or foreign bytes."""
    out = bytearray(data)
    act = chance.randrange(7)
    where = chance.randrange(len(out) or 1)
    if act == 0:
        return bytes(out[:where])
    if act == 1:
        return chance.randbytes(chance.randrange(300))
    if act == 2:
        return bytes(out[:where]) + bytes(out[chance.randrange(len(out) or 1) :])
    if act == 3:
        out[where : where + 4] = chance.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"])
        return bytes(out)
    for _ in range(chance.choice([1, 3, 30])):
        at = chance.randrange(len(out) or 1) if chance.random() < 0.5 else chance.randrange(min(len(out) or 1, 300))
        out[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(out)


def changed_arrays(data: bytes, chance: random.Random) -> bytes:
    """An .npz with one array of another type, shape or claim."""
    with np.load(io.BytesIO(data)) as file:
        arrays: dict[str, Any] = dict(file)
    name = chance.choice(sorted(arrays))
    value = arrays[name]
    act = chance.randrange(9)
    if act == 0:
        del arrays[name]
    elif act == 1 and value.dtype.kind != "U":
        arrays[name] = value.astype(chance.choice(["U3", "complex64", "int8", ">f8", "bool", "float16", "O", "M8[s]"]))
    elif act == 2:
        arrays[name] = value[:1] if value.ndim else np.array([value, value])
    elif act == 3:
        arrays[name] = np.zeros(chance.choice([(), (0,), (1,), (3, 0), (2, 2, 2), (1,) * 20]))
    elif act == 4 and value.dtype.kind == "f":
        arrays[name] = np.full_like(value, chance.choice([np.nan, np.inf, -1e38, 0]))
    elif act == 5:
        arrays[chance.choice(["", "x", "fps", "../x"])] = arrays.pop(name)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    if act < 6:
        return buffer.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(buffer) as file, zipfile.ZipFile(out, "w", chance.choice([0, 8, 12, 14])) as new:
        for member in file.namelist():
            content = file.read(member)
            if member == f"{name}.npy":
                content = content.replace(b"'shape': (", b"'shape': (9" + b"9" * chance.randrange(12), 1)
            new.writestr(member, content)
    return out.getvalue()


def changed_checkpoint(data: bytes, chance: random.Random) -> bytes:
    """A checkpoint with a changed tree."""
    tree = torch.load(io.BytesIO(data), weights_only=True)
    weights = tree.pop("weights")
    if chance.random() < 0.3:
        name = chance.choice(sorted(weights))
        odd = [
            torch.zeros(3),
            torch.full((2, 2), torch.nan),
            torch.zeros(1).expand(9, 9),
            3,
            None,
            weights[name].long(),
        ]
        weights[name] = chance.choice(odd)
    else:
        tree = changed_tree(tree, chance)
    buffer = io.BytesIO()
    torch.save({**tree, "weights": weights} if isinstance(tree, dict) else tree, buffer)
    return buffer.getvalue()


def changed(name: str, data: bytes, chance: random.Random) -> bytes:
    """A file, changed in its bytes or in what it says."""
    if chance.random() < 0.35:
        return changed_bytes(data, chance)
    if name.endswith(".json"):
        return json.dumps(changed_tree(json.loads(data), chance)).encode()
    if name.endswith((".yaml", ".yml")):
        return yaml.safe_dump(changed_tree(yaml.safe_load(data), chance), allow_unicode=True).encode("utf-8", "replace")
    if name.endswith(".npz"):
        return changed_arrays(data, chance)
    if name.endswith(".pt"):
        return changed_checkpoint(data, chance)
    if name.endswith((".txt", ".tsv")):
        words = data.decode().splitlines(keepends=True)
        at = chance.randrange(len(words) or 1)
        words[at : at + 1] = [chance.choice([*map(str, ODD), "\t\t\t", "\ufeff", "a" * 300 + "\n", "-1 -1 -1 -1\n"])]
        return "".join(words).encode("utf-8", "surrogatepass")
    return changed_bytes(data, chance)


class _TooLong(BaseException):
    pass


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Raise in the block once it has computed or waited too long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.alarm(WALL_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def attempt(reader: Reader, folder: Path) -> str:
    """What is wrong with how a reader takes what is in a folder; empty if nothing is."""
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with time_limit():
            reader.read(folder)
    except ModaError as error:
        line = " ".join(str(error).split())
        if not line or len(line) > 4000:
            return f"a message of {len(line)} characters: {line[:200]}"
    except _TooLong:
        return f"more than {CPU_SECONDS} s of computing or {WALL_SECONDS} s in all"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {where.filename}:{where.lineno}: {str(error)[:200]}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun) >> 10
    return f"{grown} MB more" if grown > MAX_GROWTH_MB else ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of readers, each of which tens of inputs cause."""
    log = logging.getLogger("moda")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def fuzz(inputs: int, seed: int, only: str = "", say: Callable[[str], None] = lambda line: None) -> list[Failure]:
    """Try so many inputs over all readers, by their shares; returns those that failed."""
    chosen = [reader for reader in READERS if only in reader.name]
    failures = []
    with _quiet(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good: dict[str, dict[str, bytes]] = {}
        for reader in chosen:
            place = folder / reader.name
            place.mkdir()
            reader.make(place)
            files = sorted(path for path in place.rglob("*") if path.is_file())
            good[reader.name] = {str(path.relative_to(place)): path.read_bytes() for path in files}
            reader.read(place)  # what is good is read
        for number in range(inputs):
            chance = random.Random(f"{seed} {number}")
            reader = chance.choices(chosen, [reader.share for reader in chosen])[0]
            place = folder / reader.name
            target = chance.choice(sorted(path for path in good[reader.name] if path.endswith(reader.changes)))
            data = changed(target, good[reader.name][target], chance)
            (place / target).write_bytes(data)
            began = time.monotonic()
            wrong = attempt(reader, place)
            if wrong:
                failures.append(Failure(number, reader.name, f"{target}: {wrong} ({time.monotonic() - began:.1f} s)"))
                say(f"{failures[-1]}")
            for path, content in good[reader.name].items():
                if path == target or not (place / path).is_file():
                    (place / path).parent.mkdir(parents=True, exist_ok=True)
                    (place / path).write_bytes(content)
            for extra in place.rglob("*"):
                if extra.is_file() and str(extra.relative_to(place)) not in good[reader.name]:
                    extra.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    return failures


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Exit code 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help=f"part of a reader's name: {', '.join(r.name for r in READERS)}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    failures = fuzz(options.inputs, options.seed, options.only, _say)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    _say(f"{options.inputs} inputs, {len(failures)} failures, {time.process_time() - began:.0f} s CPU, peak {peak} MB")
    for what, count in Counter((f.reader, f.what.split(": ")[1][:100]) for f in failures).most_common():
        _say(f"  {count} x {what}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

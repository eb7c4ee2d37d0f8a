"""Commands one after another, resumable: a step whose output is there and whose inputs are those of the last time is
left out, one that was interrupted goes on. benchmarks.default_model and benchmarks.paper_table are such chains.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moda.cli.commands import main as moda
from moda.config import load_yaml
from moda.errors import ConfigError
from moda.files import hold, make_folder, write_json, write_text
from moda.reading import read_json

SPLIT_LISTS = ("train.txt", "val.txt", "test.txt")
"""Lists beside the videos that say which clips are for what, as of moda prepare --split-lists."""
STEPS_FOLDER = "steps"
"""Folder of a record for each step: its inputs, whether it is done, and the seconds of its tries that ended."""


@dataclass(frozen=True)
class Step:
    """One command. reads: files and folders on which its output depends. writes: what is there once it is done.
    anew: further arguments where its inputs are not those of an earlier try. passes: exit codes with which it is done.
    """

    name: str
    call: Callable[[list[str]], int]
    command: list[str]
    reads: tuple[Path, ...]
    writes: Path
    anew: tuple[str, ...] = ()
    passes: tuple[int, ...] = (0,)

    def inputs(self) -> dict[str, Any]:
        """The command and digests of what it reads, its configuration among them."""
        named = [self.command[i + 1] for i, word in enumerate(self.command) if word == "--config"]
        configs = {name: load_yaml(Path(name)) for name in named}
        return {"command": self.command, "configs": configs, "reads": {str(path): digest(path) for path in self.reads}}


def digest(path: Path) -> str:
    """Of a file's bytes, or of the names, sizes and times of all files of a folder."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(Path(folder) / name for folder, _, names in os.walk(path, followlinks=True) for name in names)
    found = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def by_step(words: Sequence[str]) -> dict[str, list[str]]:
    """STEP:KEY=VALUE words to KEY=VALUE by step."""
    settings: dict[str, list[str]] = {}
    for word in words:
        name, _, setting = word.partition(":")
        settings.setdefault(name, []).append(setting)
    return settings


def sets_of(settings: Iterable[str]) -> list[str]:
    """KEY=VALUE settings as arguments of a command."""
    return [word for setting in settings for word in ("--set", setting)]


def prepared(
    data: Path, store: Path, arguments: Sequence[str], *, drawn: Sequence[str] = (), more: Path | None = None
) -> Step:
    """The clip store of DATA/videos, with DATA's identities and lists of clips where it has them.

    arguments: of moda prepare. drawn: those where there are no lists. more: a further folder that it reads.
    """
    videos, identities = data / "videos", data / "identities.tsv"
    lists = [data / name for name in SPLIT_LISTS if (data / name).exists()]
    command = ["prepare", str(videos), str(store), *arguments]
    command += ["--identities", str(identities)] if identities.exists() else []
    command += ["--split-lists", str(data)] if lists else drawn
    reads = (path for path in (videos, more, identities, *lists) if path is not None and path.exists())
    return Step("store", moda, command, tuple(reads), store / "index.json", passes=(0, 1))


def scored(out: Path, tree: Mapping[str, Any], arguments: Sequence[str], reads: Sequence[Path], writes: Path) -> Step:
    """The evaluation of a configuration, which is written to OUT/eval.yaml."""
    config = out / "eval.yaml"
    make_folder(out)
    write_text(config, json.dumps(tree))  # JSON is YAML
    return Step("scores", moda, ["eval", "--config", str(config), *arguments], tuple(reads), writes, passes=(0, 1))


def run_steps(
    steps: Sequence[Step], out: Path, named: Mapping[str, object] | None = None, until: str | None = None
) -> int:
    """Do what is not done; returns the exit code of the first step that fails, else 0.

    named: names that were given settings. until: the last step to do. Raises `ConfigError` for a name of no step, and
    `OutputError` where another process makes the same.
    """
    make_folder(out / STEPS_FOLDER)
    with hold(out / STEPS_FOLDER / ".lock", f"another process makes {out}"):
        names = [step.name for step in steps]
        for name in (*(named or {}), *([until] if until else [])):
            if name not in names:
                raise ConfigError(f"no step '{name}'; there are: {', '.join(names)}")
        for step in steps:
            code = do(step, out)
            if code or step.name == until:
                return code
    return 0


def do(step: Step, out: Path) -> int:
    """Do a step unless it is done; returns an exit code."""
    stamp, inputs = out / STEPS_FOLDER / f"{step.name}.json", step.inputs()
    before = read_json(stamp) if stamp.exists() else {}
    same = before.get("inputs") == inputs
    if same and before.get("done") and step.writes.exists():
        print(f"{step.name}: done already", flush=True)
        return 0
    print(f"{step.name}: {'goes on' if same else 'begins'}", flush=True)
    seconds = before.get("seconds", 0.0) if same else 0.0
    write_json(stamp, {"inputs": inputs, "done": False, "seconds": seconds})
    begun = time.perf_counter()
    code = step.call([*step.command, *(() if same else step.anew)])
    seconds += time.perf_counter() - begun
    if code not in step.passes or not step.writes.exists():
        write_json(stamp, {"inputs": inputs, "done": False, "seconds": seconds})
        print(f"{step.name}: not done (exit code {code}); the same command goes on from here", file=sys.stderr)
        return code or 1
    write_json(stamp, {"inputs": inputs, "done": True, "seconds": seconds})
    return 0

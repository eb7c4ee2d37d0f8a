"""Commands killed at random moments: the same command again ends whole, as if undisturbed, and nothing is left over.

    python -m tests.kills --kills 30                  every command, 30 kills each
    python -m tests.kills --kills 3 --only train      one

Every run is a fork of this process, in which what the commands import is already there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from PIL import Image

import moda.evaluation.ablation.report
import moda.evaluation.generate
import moda.jobs.making
import moda.training.trainer  # noqa: F401
from moda.cli import ablate, evaluate, infer, prepare, train
from moda.files import SUFFIX
from moda.tensor_file import read_tensors
from tests.conftest import REPOSITORY, _write_clip, speech_like
from tests.random_checkpoints import write_checkpoints

_VARIES = ("seconds", "real_time_factor", "mtime_ns")
"""Keys of JSON files in which two undisturbed runs differ too."""


_ANY_LIPS = ("options.limits.min_lip_motion=0", "options.limits.min_lip_range=0")
"""The videos are a moving photo, which preparation would refuse by its lips."""


class Command(NamedTuple):
    """main: of the command line. words: given the inputs and the output folder. skipped: files that tell of times."""

    main: Callable[[list[str]], int]
    words: Callable[[Path, Path], list[str]]
    skipped: tuple[str, ...] = ()


def _sets(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def _infer(inputs: Path, out: Path) -> list[str]:
    words = ["--config", str(inputs / "infer.yaml"), "--device", "cpu", "--save-motion", str(out / "m.npz")]
    return [str(inputs / "voice.wav"), str(inputs / "face.png"), "--output", str(out / "o.mp4"), *words]


def _train(inputs: Path, out: Path) -> list[str]:
    steps = ("trainer.steps=8", "trainer.save_every=1", "trainer.validate_every=2", "trainer.preview_every=100")
    changes = _sets(f"data.store={inputs / 'store'}", f"output={out}", "optimizer.schedule=constant", *steps)
    return ["--config", "debug/faco", "--device", "cpu", *changes]


def _prepare(inputs: Path, out: Path) -> list[str]:
    return [str(inputs / "videos"), str(out), "--jobs", "1", *_sets("options.size=64", *_ANY_LIPS)]


def _evaluate(inputs: Path, out: Path) -> list[str]:
    skipped = ["--skip", "sync_c", "sync_d", "sync_offset", "niqe"]
    made = ["--generated", f"same={inputs / 'videos'}", "--jobs", "1", *skipped]
    return ["--true", str(inputs / "videos"), "--output", str(out), *made]


def _ablate(inputs: Path, out: Path) -> list[str]:
    changes = (f"store={inputs / 'store'}", f"output={out}", "device=cpu", "set=[lip_contrast=1, size=128]", "jobs=1")
    return ["--config", "ablation/debug", "--variants", "full", *_sets(*changes)]


COMMANDS = {
    "infer": Command(infer.main, _infer),
    "train": Command(train.main, _train, ("tensorboard",)),
    "eval": Command(evaluate.main, _evaluate, ("report.html", "table.md")),
    "prepare": Command(prepare.main, _prepare, ("report.html", ".lock")),
    "ablate": Command(ablate.main, _ablate, ("tensorboard", "report.html", "table.md", "ablation.md")),
}


def make_inputs(folder: Path, store: bool) -> None:
    """What the commands are given: a face, a voice, videos, checkpoints, and a store of two clips if asked for."""
    from moda.media.audio import write_wav
    from moda.representation import SAMPLE_RATE

    picture = Image.open(REPOSITORY / "assets" / "demo.png").convert("RGB")
    picture.save(folder / "face.png")
    write_wav(folder / "voice.wav", speech_like(2.0)[: 2 * SAMPLE_RATE])
    paths = write_checkpoints(folder)
    checkpoints = {stage: str(path) for stage, path in paths.items()}
    settings = {"checkpoints": checkpoints, "size": 128, "lip_contrast": 1.0, "flow_steps": 2}
    (folder / "infer.yaml").write_text(yaml.safe_dump(settings))
    pixels = np.asarray(picture)
    _write_clip(folder / "videos" / "one.mp4", pixels, seconds=2.4)
    if store:
        _write_clip(folder / "more" / "one.mp4", pixels, seconds=3)
        _write_clip(folder / "more" / "two.mp4", pixels[:, ::-1, ::-1], seconds=3, pitch=210.0)
        words = [str(folder / "more"), str(folder / "store"), "--jobs", "2", *_sets("options.size=128", *_ANY_LIPS)]
        code = _wait(_start(prepare.main, words, folder, folder / "log.txt"))
        assert code == 0, (folder / "log.txt").read_text()


def _start(main: Callable[[list[str]], int], words: list[str], temporary: Path, log: Path) -> int:
    """A fork of this process that runs a command, with its own temporary folder; returns its number."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.environ["TMPDIR"] = str(temporary)
        tempfile.tempdir = None
        code = main(words)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _wait(process: int) -> int:
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def contents(out: Path, skipped: tuple[str, ...]) -> dict[str, Any]:
    """What a run made, by path, without what varies from run to run."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(path.relative_to(out))
        if any(part in skipped for part in Path(name).parts):
            continue
        if path.suffix == ".pt":
            found[name] = _comparable(read_tensors(path))
        elif path.suffix == ".json":
            found[name] = _steady(json.loads(path.read_text().replace(str(out), "OUT")))
        else:
            found[name] = path.read_bytes()
    return found


def _comparable(tree: Any) -> Any:
    if isinstance(tree, torch.Tensor):
        return str(tree.dtype), tuple(tree.shape), tree.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    if isinstance(tree, dict):
        return {key: _comparable(value) for key, value in tree.items() if key != "output"}
    if isinstance(tree, (list, tuple)):
        return [_comparable(value) for value in tree]
    return tree


def _steady(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _steady(value) for key, value in tree.items() if key not in _VARIES}
    return [_steady(value) for value in tree] if isinstance(tree, list) else tree


def litter(out: Path, temporary: Path) -> list[str]:
    """Temporary files in an output or in the temporary folder."""
    left = [str(path) for path in out.rglob("*") if path.name.endswith(SUFFIX) or path.name.endswith((".tmp", ".part"))]
    return left + [str(path) for path in temporary.glob("moda-*")]


def try_command(name: str, inputs: Path, folder: Path, kills: int, chance: random.Random) -> Iterator[str]:
    """Problems of one command: an undisturbed run, then one that is killed so many times and run to its end."""
    command = COMMANDS[name]
    whole, out, temporary = folder / "whole", folder / "out", folder / "tmp"
    temporary.mkdir(parents=True)
    whole.mkdir()
    began = time.monotonic()
    code = _wait(_start(command.main, command.words(inputs, whole), temporary, folder / "log.txt"))
    length = time.monotonic() - began
    if code != 0:
        yield f"{name}: undisturbed, exit code {code}: {(folder / 'log.txt').read_text()[-1500:]}"
        return
    wanted = contents(whole, command.skipped)
    for number in range(kills):
        if number % 3 == 0:  # several kills of one output, then another
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
        moment = chance.uniform(0.02, 1.0) * length
        process = _start(command.main, command.words(inputs, out), temporary, folder / "log.txt")
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)
        _wait(process)
        if number % 3 != 2 and number != kills - 1:
            continue
        code = _wait(_start(command.main, command.words(inputs, out), temporary, folder / "log.txt"))
        if code != 0:
            yield f"{name}: after a kill at {moment:.2f} s exit code {code}: {(folder / 'log.txt').read_text()[-1500:]}"
            continue
        found = contents(out, command.skipped)
        other = [path for path in sorted({*wanted, *found}) if wanted.get(path) != found.get(path)]
        if other:
            yield f"{name}: after a kill at {moment:.2f} s of {length:.2f} other contents: {', '.join(other)}"
        if left := litter(out, temporary):
            yield f"{name}: after a kill at {moment:.2f} s left over: {', '.join(left)}"


def main() -> int:
    """Exit code 1 if a command did not end as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=tuple(COMMANDS), default=list(COMMANDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    chance, problems = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name) / "inputs"
        inputs.mkdir()
        make_inputs(inputs, store=bool({"train", "ablate"} & set(options.only)))
        for command in options.only:
            began = time.monotonic()
            for problem in try_command(command, inputs, Path(name) / command, options.kills, chance):
                problems.append(problem)
                sys.stdout.write(f"{problem}\n")
            sys.stdout.write(f"{command}: {options.kills} kills in {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    return 1 if problems else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())

"""Two gloo processes do what one does that accumulates two batches: every stage, resume, and a process that dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from moda import checkpoint as checkpoints
from moda.data.photos import arrays_of
from moda.data.store import ClipStore
from moda.files import write_json, write_npz
from moda.tracking.portrait import make_portrait
from tests.conftest import REPOSITORY
from tests.every_stage import STAGES, Data, make_data, settings
from tests.training.two_processes import train

LR = 1e-5
CHANGES = {
    stage: ["optimizer.schedule=constant", f"optimizer.lr={LR}", "optimizer.warmup=0", "trainer.ema=0.5"]
    for stage in STAGES
}
CHANGES["renderer"] += ["data.targets=1", "network.eye_widths=[8, 8]"]  # and photographs beside the clips
LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"],
    "accelerate": ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"],
}


def launch(launcher: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, *LAUNCHERS[launcher], *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, clip_store: ClipStore) -> Data:
    return make_data(tmp_path_factory.mktemp("data"), clip_store.root)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    """A store of two photographs."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "photos").mkdir()
    write_json(folder / "photos.json", {"format": 1, "size": 512})
    for name, picture in (("a", astronaut), ("b", np.ascontiguousarray(astronaut[:, ::-1]))):
        portrait = make_portrait(picture, 512)
        write_npz(folder / "photos" / f"{name}.npz", arrays_of(portrait, portrait.image), compress=True)
        write_json(folder / "photos" / f"{name}.json", {"status": "kept"})
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, data: Data, photos: Path) -> Path:
    """Every stage trained by two processes, and a run of one process carried on by them."""
    folder = tmp_path_factory.mktemp("runs")
    CHANGES["renderer"].append(f"data.photos={photos}")
    (folder / "data.json").write_text(json.dumps([str(path) for path in data]))
    (folder / "changes.json").write_text(json.dumps(CHANGES))
    for stage in STAGES:
        train(stage, data, folder / stage / "moved", *CHANGES[stage], "trainer.steps=1")
    process = launch("torchrun", str(REPOSITORY / "tests" / "training" / "two_processes.py"), str(folder))
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    return folder


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(value, b[name][key]) for name, values in a.items() for key, value in values.items())


@pytest.mark.parametrize("stage", STAGES)
def test_a_resumed_run_is_bit_equal_in_both_processes(stage: str, runs: Path) -> None:
    for rank in (0, 1):
        whole, parts = (torch.load(runs / stage / f"{name}_{rank}.pt") for name in ("two", "parts"))
        assert same(whole, parts)


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_do_what_accumulating_two_batches_does(stage: str, runs: Path, data: Data) -> None:
    one = train(stage, data, runs / stage / "one", *CHANGES[stage], "trainer.accumulate=2").stage
    both = [torch.load(runs / stage / f"two_{rank}.pt") for rank in (0, 1)]
    for name, trainable in one.trainables.items():
        parameters = dict(trainable.named_parameters())
        assert all(torch.equal(both[0][name][key], both[1][name][key]) for key in parameters)
        moved = torch.cat([(both[0][name][key] - value.detach()).abs().flatten() for key, value in parameters.items()])
        # Adam goes LR a step whatever the gradient: a wrong one is off by LR or more. LR is low, as the generator of a
        # GAN meets its discriminator after another update when batches are accumulated.
        assert (moved > LR / 4).float().mean() < 0.01, name


@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_moves_between_one_and_two_processes(stage: str, runs: Path, data: Data) -> None:
    assert checkpoints.load(runs / stage / "moved" / "last.pt").info["step"] == 2
    back = shutil.copytree(runs / stage / "two", runs / stage / "back")
    trainer = train(stage, data, back, *CHANGES[stage], "trainer.steps=3")
    assert trainer.progress.step == 3 and trainer.progress.position % 2 == 1


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_command_runs_in_two_processes(launcher: str, data: Data, tmp_path: Path) -> None:
    """`device: auto`: without a GPU, too, there is one main process."""
    sets = [word for each in (*settings("faco", data), f"output={tmp_path / 'run'}") for word in ("--set", each)]
    process = launch(launcher, "-m", "moda", "train", "--config", "debug/faco", *sets)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert output.count("threads), 2 processes") == output.count("step 2 after") == 1, output
    assert checkpoints.load(tmp_path / "run" / "last.pt").info["step"] == 2


def test_a_process_that_dies_ends_the_other_and_leaves_the_last_checkpoint(data: Data, tmp_path: Path) -> None:
    changes = (*settings("faco", data), f"output={tmp_path}", "trainer.steps=100000", "trainer.save_every=1")
    sets = [word for each in (*changes, "trainer.validate_every=100000") for word in ("--set", each)]
    process = launch("torchrun", "-m", "moda", "train", "--config", "debug/faco", *sets)
    last = tmp_path / "last.pt"
    until = time.monotonic() + 120
    while not last.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    victim = next(
        child for child in psutil.Process(process.pid).children(recursive=True) if child.environ().get("RANK") == "1"
    )
    victim.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert checkpoints.load(last).info["step"] >= 1

"""Every stage and every network on a GPU: as fake tensors where there is none, and for real where there is one."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from moda.data.encoded_audio import EncodedAudio
from moda.data.settings import AudioAugmentation
from moda.data.store import ClipStore
from moda.device import Download, choose_device, require_precision
from moda.errors import ConfigError, TrainingError
from moda.pipeline import AnimationConfig, Animator, CheckpointPaths
from moda.stages.registry import build_stage
from moda.tracking.portrait import make_portrait
from moda.training.config import OptimizerConfig
from moda.training.loading import validation_batches
from moda.training.running_means import RunningMeans
from moda.training.runtime import Runtime
from moda.training.stage import Stage
from moda.training.state import TrainState, pack
from moda.training.trainable import Trainable, WeightAverage
from moda.training.trainer import Trainer
from tests.conftest import REPOSITORY, speech_like
from tests.every_stage import STAGES, VARIANTS, WHISPER, WHOLE_FRAMES, Data, make_data, train_config
from tests.fake_cuda import CUDA, fake_cuda, loaded_outside, move_module, moved, reads
from tests.random_checkpoints import write_checkpoints

ANIMATORS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {"size": 64}),
    "eyes, larger than trained, Whisper": (
        {"renderer": {"eye_widths": [8, 8]}, "audio2repr": {"wav2vec": WHISPER, "mel_bands": 0}},
        {"size": 96, "fps": 30.0},
    ),
    "paper": ({"audio2repr": {"kind": "paper"}, "renderer": WHOLE_FRAMES}, {"size": 256, "windows": "paper"}),
}
"""Sections of networks, and settings."""
SECONDS = 2
ARITHMETIC = {
    "fp32": ("fp32", "trainer.tf32=false"), "tf32": ("fp32", "trainer.tf32=true"), "bf16": ("bf16",), "fp16": ("fp16",),
}  # fmt: skip
"""Precision, and other settings."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, clip_store: ClipStore) -> Data:
    return make_data(tmp_path_factory.mktemp("data"), clip_store.root)


def load_animator(folder: Path, name: str = "default") -> Animator:
    sections, chosen = ANIMATORS[name]
    paths = write_checkpoints(folder, **sections)
    return Animator.from_config(AnimationConfig(checkpoints=CheckpointPaths(**paths), **chosen), "cpu")


def opened(stage: str, data: Data, output: Path, *changes: str) -> tuple[Stage, Any, Any]:
    """A stage on the CPU, its training set and a batch of its validation set."""
    config = train_config(stage, data, output, *changes)
    made = build_stage(config, source=stage)
    train, validation = made.datasets()
    batch = next(validation_batches(made, validation, config, Runtime("cpu")))[2]
    return made, train, batch


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(("name", "changes"), VARIANTS)
def test_a_stage_keeps_to_one_device(
    name: str, changes: tuple[str, ...], precision: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, train, batch = opened(name, data, tmp_path, *changes)
    with fake_cuda(monkeypatch) as mode:
        move_module(stage, mode)
        batch = moved(batch, mode)
        stage.prepare(loaded_outside(train))
        assert {value.device.type for value in (*stage.parameters(), *stage.buffers())} == {CUDA}
        stage.train()
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        with torch.autocast(CUDA, dtype=dtype, enabled=precision != "fp32"):
            half = torch.ones(2, 2, device=CUDA) @ torch.ones(2, 2, device=CUDA)
            assert half.dtype == dtype
            reads.clear()
            for trainable, terms in stage.losses(batch, None):  # type: ignore[arg-type]
                assert trainable in stage.trainables
                for value in terms.values():
                    assert value.device.type == CUDA and value.shape == ()
            assert not reads, "the host waits for the GPU in every step"
        stage.eval()
        with torch.no_grad():
            assert stage.summarise(stage.validate(batch))
            assert all(picture.dtype == np.uint8 for picture in stage.preview(batch).values())


@pytest.mark.parametrize("name", ANIMATORS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_inference_keeps_to_one_device(
    name: str, precision: str, astronaut: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a whole sound, and of sound in pieces, as `moda live` has it."""
    animator = load_animator(tmp_path, name)
    config = animator.config
    portrait, wave = make_portrait(astronaut, config.size), speech_like(SECONDS)
    networks = {name: copy.deepcopy(getattr(animator, name)) for name in ("audio2repr", "faco", "renderer")}
    with fake_cuda(monkeypatch) as mode, torch.autocast(CUDA, dtype=torch.bfloat16, enabled=precision == "bf16"):
        for network in networks.values():
            move_module(network, mode)
        moved_animator = Animator(config, torch.device(CUDA), **networks)
        motion = moved_animator.motion(wave, portrait)
        frames = list(moved_animator.frames(motion, portrait))
        if config.windows != "paper":
            assert len(list(moved_animator.stream([wave[:20_000], wave[20_000:]], portrait))) == len(frames)
    assert len(frames) == SECONDS * config.fps and frames[0].shape == (config.size, config.size, 3)


@pytest.mark.parametrize("scaled", [False, True])
def test_an_update_keeps_to_one_device(
    scaled: bool, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows the backward pass: norms, update, averaged weights, the log's means, and what a checkpoint holds."""
    stage, _, _ = opened("renderer", data, tmp_path, "network.eye_widths=[8, 8]")
    runtime = Runtime("cpu")
    runtime.device = torch.device(CUDA)
    with fake_cuda(monkeypatch) as mode:
        move_module(stage, mode)
        trainable = Trainable("generator", stage.network, OptimizerConfig(clip=1.0), scaled=scaled)
        average, means = WeightAverage(stage.network, 0.9), RunningMeans(runtime)
        for parameter in trainable.parameters:
            parameter.grad = torch.zeros_like(parameter)
        reads.clear()
        trainable.scaler.scale(torch.ones((), device=CUDA))
        norm = trainable.clip(runtime)
        means.add(1, {"generator/gradient": norm, "generator/clipped": norm > 1.0})
        trainable.update(1e-3)
        average.update()
        means.step()
        assert not runtime.any(False) and not reads, "the host waits for the GPU in every step"
        with average.applied():
            pass
        assert set(means.take()[0]) == {"generator/gradient", "generator/clipped"}
        kept = pack(TrainState(), [trainable], average, {})
        assert {value.device.type for value in kept["trainables"]["generator"].values()} == {CUDA}


def test_what_is_read_before_it_has_come_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy from a GPU that nobody waits for; `Download` does."""
    with fake_cuda(monkeypatch):
        there = torch.zeros(3, device=CUDA)
        host = torch.empty(3, pin_memory=True)
        host.copy_(there, non_blocking=True)
        with pytest.raises(RuntimeError, match="still on its way"):
            host.numpy()
        with pytest.raises(RuntimeError, match="not pinned"):
            torch.empty(3).copy_(there, non_blocking=True)
        assert Download(there).array().shape == (3,)


def test_features_of_clips_are_computed_on_the_cpu(
    clip_store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loading process has no GPU, and the stage's encoder is on one when its datasets are opened."""
    encoder = load_animator(tmp_path, "eyes, larger than trained, Whisper").audio2repr.wav2vec  # type: ignore[union-attr]
    clip = clip_store.clip(clip_store.ids[0])
    with fake_cuda(monkeypatch) as mode:
        move_module(encoder, mode)
        encoded = EncodedAudio(encoder, tmp_path / "encoded", 1, AudioAugmentation())
        assert encoded.between(clip, 0, 5, 30).shape == (25, 32)  # two positions a frame


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("arithmetic", ARITHMETIC)
@pytest.mark.parametrize("name", STAGES)
def test_five_steps_on_a_gpu_are_those_of_the_cpu(name: str, arithmetic: str, data: Data, tmp_path: Path) -> None:
    """From the same weights, without noise of the device's own generator; and the checkpoint moves back and forth."""
    precision, *others = ARITHMETIC[arithmetic]
    changes = (f"trainer.precision={precision}", "optimizer.schedule=constant", *others)

    def train(output: str, steps: int, device: str) -> None:
        config = train_config(name, data, tmp_path / output, *changes, f"trainer.steps={steps}", device=device)
        assert Trainer(config, build_stage(config, source=name)).run().step == steps

    losses = {}
    train("cpu", 1, "cpu")
    shutil.copytree(tmp_path / "cpu", tmp_path / CUDA)
    for device in ("cpu", CUDA):
        train(device, 6, device)
        events = EventAccumulator(str(tmp_path / device / "tensorboard"))
        events.Reload()
        tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("train/") and "gradient" not in tag]
        losses[device] = {tag: np.mean([point.value for point in events.Scalars(tag)]) for tag in tags}
    tolerance = 0.2 if name == "audio2repr" else 0.05  # noise and dropout are drawn on the device
    for tag, value in losses["cpu"].items():
        if "clipped" not in tag:
            assert losses[CUDA][tag] == pytest.approx(value, rel=tolerance, abs=0.02), tag
    train(CUDA, 7, "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_full_gpu_is_told_in_one_line(data: Data, tmp_path: Path) -> None:
    config = train_config("renderer", data, tmp_path, "trainer.batch=16", device=CUDA)
    trainer = Trainer(config, build_stage(config, source="renderer"))
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved() + 2**20
    torch.cuda.set_per_process_memory_fraction(held / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(TrainingError, match=r"^the memory of cuda \(.*\) is too small: .* are allocated.*$"):
            trainer.run()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_processes_of_gpus_form_one_run(data: Data, tmp_path: Path) -> None:
    """A process for each GPU that is here, by NCCL; batch normalisation is over all of them."""
    count = torch.cuda.device_count()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    command += ["-m", "moda", "train", "--config", "debug/audio2repr_paper", "--device", CUDA]
    changes = [
        f"data.store={data.talking}",
        f"output={tmp_path}",
        "trainer.steps=3",
        "trainer.sync_batch_norm=true",
        "trainer.batch=2",
    ]
    command += [word for change in changes for word in ("--set", change)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stderr
    assert (f", {count} processes" in done.stdout) == (count > 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("name", ANIMATORS)
def test_frames_of_a_gpu_are_those_of_the_cpu(name: str, astronaut: np.ndarray, tmp_path: Path) -> None:
    animator = load_animator(tmp_path, name)
    portrait = make_portrait(astronaut, animator.config.size)
    other = Animator.from_config(animator.config, CUDA)
    videos = [
        np.stack(list(each.frames(each.motion(speech_like(SECONDS), portrait), portrait))) for each in (animator, other)
    ]
    assert np.abs(videos[0].astype(int) - videos[1]).mean() < 1


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ConfigError, match="process 1 of this machine has no GPU of its own, there are 1"):
        choose_device("cuda")


def test_a_precision_that_a_device_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    require_precision(torch.device(CUDA), "fp32")
    with pytest.raises(ConfigError, match=r"cuda \(Tesla T4\) has no bf16 arithmetic; set trainer.precision=fp32"):
        require_precision(torch.device(CUDA), "bf16")
    require_precision(torch.device(CUDA), "fp16")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    with pytest.raises(ConfigError, match=r"has no fp16 arithmetic; set trainer.precision=fp32"):
        require_precision(torch.device(CUDA), "fp16")


def test_processes_that_do_not_find_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="3 processes were started, but they do not form one run on cpu"):
        Runtime("cpu")

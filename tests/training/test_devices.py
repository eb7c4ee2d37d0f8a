"""Every stage and every network on a GPU: as fake tensors where there is none, and for real where there is one."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from moda.data.encoded_audio import EncodedAudio
from moda.data.settings import AudioAugmentation
from moda.data.store import ClipStore
from moda.device import choose_device, require_precision
from moda.errors import ConfigError
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
from tests.conftest import speech_like
from tests.every_stage import STAGES, Data, make_data, train_config
from tests.fake_cuda import CUDA, fake_cuda, loaded_outside, move_module, moved, reads
from tests.random_checkpoints import write_checkpoints

ENCODER = {"hidden": 32, "layers": 1, "heads": 2, "ffn": 32, "conv_dim": [8] * 7, "freeze": False, "freeze_cnn": False}
PAPER: dict[str, Any] = {
    "kind": "paper", "d": 32, "layers": 1, "heads": 2, "ffn": 32, "lip_hidden": [32], "other_hidden": [32],
    "wav2vec": ENCODER,
}  # fmt: skip
WHISPER = {"front": "whisper", "hidden": 16, "layers": 1, "heads": 2, "ffn": 16, "read": [1], "freeze": True}
WHOLE_FRAMES = {"warp": False, "size": 256, "width": 4}
VARIANTS = [
    *((stage, ()) for stage in STAGES),
    ("audio2repr", (f"network={json.dumps(PAPER)}",)),
    ("audio2repr", (f"network.wav2vec={json.dumps(WHISPER)}",)),
    ("renderer", ("network.eye_widths=[8, 8]", "trainer.channels_last=true")),
    ("renderer", (*(f"network.{name}={json.dumps(value)}" for name, value in WHOLE_FRAMES.items()), "data.targets=1")),
]
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
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", STAGES)
def test_five_steps_on_a_gpu_are_those_of_the_cpu(name: str, precision: str, data: Data, tmp_path: Path) -> None:
    """From the same weights, without noise of the device's own generator; and the checkpoint moves back and forth."""
    losses = {}
    first = train_config(name, data, tmp_path / "cpu", "trainer.steps=1", "optimizer.schedule=constant")
    Trainer(first, build_stage(first, source=name)).run()
    shutil.copytree(tmp_path / "cpu", tmp_path / "cuda")
    for device in ("cpu", CUDA):
        changes = ("trainer.steps=6", "optimizer.schedule=constant")
        config = train_config(name, data, tmp_path / device, *changes, device=device)
        trainer = Trainer(config, build_stage(config, source=name))
        trainer.runtime.precision = precision if device == CUDA else "fp32"  # type: ignore[assignment]
        assert trainer.run().step == 6
        events = EventAccumulator(str(tmp_path / device / "tensorboard"))
        events.Reload()
        tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("train/") and "gradient" not in tag]
        losses[device] = {tag: np.mean([point.value for point in events.Scalars(tag)]) for tag in tags}
    tolerance = 0.2 if name == "audio2repr" else 0.05  # noise and dropout are drawn on the device
    for tag, value in losses["cpu"].items():
        assert losses[CUDA][tag] == pytest.approx(value, rel=tolerance, abs=0.02), tag
    back = train_config(name, data, tmp_path / CUDA, "trainer.steps=7", "optimizer.schedule=constant")
    assert Trainer(back, build_stage(back, source=name)).run().step == 7


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

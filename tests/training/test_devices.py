"""Every stage and every network on a GPU: as fake tensors where there is none, and for real where there is one."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from moda.data.store import ClipStore
from moda.device import choose_device, require_precision
from moda.errors import ConfigError
from moda.pipeline import AnimationConfig, Animator, CheckpointPaths
from moda.representation import FPS
from moda.stages.registry import build_stage
from moda.tracking.portrait import make_portrait
from moda.training.loading import validation_batches
from moda.training.runtime import Runtime
from moda.training.stage import Stage
from moda.training.trainer import Trainer
from tests.conftest import speech_like
from tests.every_stage import STAGES, Data, make_data, train_config
from tests.fake_cuda import CUDA, fake_cuda, loaded_outside, move_module, moved
from tests.random_checkpoints import write_checkpoints

PAPER = (
    "network={kind: paper, d: 32, layers: 1, heads: 2, ffn: 32, lip_hidden: [32], other_hidden: [32], wav2vec: "
    "{hidden: 32, layers: 1, heads: 2, ffn: 32, conv_dim: [8, 8, 8, 8, 8, 8, 8], freeze: false, freeze_cnn: false}}"
)
WHISPER = "network.wav2vec={front: whisper, hidden: 16, layers: 1, heads: 2, ffn: 16, read: [1], freeze: true}"
VARIANTS = [
    *((stage, ()) for stage in STAGES),
    ("audio2repr", (PAPER,)),
    ("audio2repr", (WHISPER,)),
    ("renderer", ("network.eye_widths=[8, 8]",)),
    ("renderer", ("network.warp=false", "network.size=256", "network.width=4", "data.targets=1")),
]
SECONDS = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, clip_store: ClipStore) -> Data:
    return make_data(tmp_path_factory.mktemp("data"), clip_store.root)


@pytest.fixture(scope="module")
def animator(tmp_path_factory: pytest.TempPathFactory) -> Animator:
    paths = write_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    return Animator.from_config(AnimationConfig(checkpoints=CheckpointPaths(**paths), size=64), "cpu")


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
            for trainable, terms in stage.losses(batch, None):  # type: ignore[arg-type]
                assert trainable in stage.trainables
                for value in terms.values():
                    assert value.device.type == CUDA and value.shape == ()
        stage.eval()
        with torch.no_grad():
            assert stage.summarise(stage.validate(batch))
            assert all(picture.dtype == np.uint8 for picture in stage.preview(batch).values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_inference_keeps_to_one_device(
    animator: Animator, precision: str, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait = make_portrait(astronaut, 64)
    networks = {name: copy.deepcopy(getattr(animator, name)) for name in ("audio2repr", "faco", "renderer")}
    with fake_cuda(monkeypatch) as mode, torch.autocast(CUDA, dtype=torch.bfloat16, enabled=precision == "bf16"):
        for network in networks.values():
            move_module(network, mode)
        moved_animator = Animator(animator.config, torch.device(CUDA), **networks)
        motion = moved_animator.motion(speech_like(SECONDS), portrait)
        frames = list(moved_animator.frames(motion, portrait))
    assert len(frames) == SECONDS * FPS and frames[0].shape == (64, 64, 3)


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
def test_frames_of_a_gpu_are_those_of_the_cpu(animator: Animator, astronaut: np.ndarray) -> None:
    portrait = make_portrait(astronaut, 64)
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

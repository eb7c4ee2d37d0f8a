"""What a person calls from Python: defaults, arguments of every kind, and the README's example as written."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moda.animation import AnimationConfig, CheckpointPaths, InferenceConfig
from moda.config import load_yaml, parse
from moda.errors import ConfigError, DataError, FaceError, MediaError
from moda.media.audio import write_wav
from moda.pipeline import Animator, choose_device
from moda.representation import HeadPose, Motion, Portrait
from moda.tracking.portrait import make_portrait, make_reference
from tests.conftest import speech_like
from tests.random_checkpoints import write_checkpoints

REPOSITORY = Path(__file__).parents[1]
WAVE = speech_like(0.5)


@pytest.fixture(scope="module")
def animator(tmp_path_factory: pytest.TempPathFactory) -> Animator:
    paths = write_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    return Animator.from_config(AnimationConfig(checkpoints=CheckpointPaths(**paths), size=64), "cpu")


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray) -> Portrait:
    return make_portrait(astronaut, 64)


def test_the_class_the_yaml_and_the_command_have_the_same_defaults() -> None:
    tree = load_yaml(REPOSITORY / "configs" / "default" / "infer.yaml")
    assert parse(AnimationConfig, tree, source="infer.yaml") == AnimationConfig()
    assert parse(InferenceConfig, tree, source="infer.yaml") == InferenceConfig()


def test_the_readmes_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written, but for shorter audio under the same name."""
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    (tmp_path / "assets").mkdir()
    shutil.copy(REPOSITORY / "assets" / "demo.png", tmp_path / "assets")
    write_wav(tmp_path / "assets" / "demo.wav", WAVE)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert len(names["motion"]) == 12
    assert names["frame"].shape == (256, 256, 3) and names["frame"].dtype == np.uint8


def test_audio_of_another_rate_gives_the_same_motion(animator: Animator, portrait: Portrait) -> None:
    truth = animator.motion(WAVE, portrait)
    again = animator.motion(torch.from_numpy(np.stack([WAVE, WAVE])), portrait)
    assert np.allclose(again.lips, truth.lips, atol=1e-4)
    doubled = np.repeat(np.round(WAVE * 32768).astype(np.int16), 2)
    faster = animator.motion(doubled, portrait, sample_rate=32_000)
    assert len(faster) == len(truth)


def test_audio_that_cannot_be_used_is_told(animator: Animator, portrait: Portrait) -> None:
    with pytest.raises(MediaError, match="3 samples of the audio are not finite"):
        animator.motion(np.concatenate([WAVE, [np.nan] * 3]), portrait)
    with pytest.raises(MediaError, match="sample_rate is 0"):
        animator.motion(WAVE, portrait, sample_rate=0)


@pytest.mark.parametrize("seed", [1.5, "1", None, True, 2**64, -(2**63) - 1])
def test_what_is_no_seed_is_told(animator: Animator, portrait: Portrait, seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"seed is .* wanted a whole number"):
        animator.motion(WAVE, portrait, seed)


@pytest.mark.parametrize("seed", [-1, 2**64 - 1, np.int32(3)])
def test_every_whole_number_is_a_seed(animator: Animator, portrait: Portrait, seed: Any) -> None:
    assert len(animator.motion(WAVE, portrait, seed)) == 12


def test_arguments_of_the_wrong_kind_are_told(animator: Animator, portrait: Portrait, astronaut: np.ndarray) -> None:
    motion = animator.motion(WAVE, portrait)
    with pytest.raises(DataError, match=r"portrait is a ndarray, wanted Portrait \(make_portrait makes one\)"):
        animator.motion(WAVE, astronaut)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="portrait is a Motion, wanted Portrait"):
        next(animator.frames(portrait, motion))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="motion is a dict, wanted Motion"):
        next(animator.frames({}, portrait))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="config is a dict, wanted AnimationConfig"):
        Animator.from_config({}, "cpu")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="device 'gpu' is not available here; available: cpu"):
        choose_device("gpu")  # type: ignore[arg-type]
    networks = {"faco": animator.faco, "renderer": animator.renderer}
    without = Animator(animator.config, torch.device("cpu"), audio2repr=None, **networks)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"loaded without stage 1 \(with_motion=False\)"):
        without.motion(WAVE, portrait)


@pytest.mark.parametrize("name", ["lips", "eyes", "head", "torso"])
def test_motion_that_is_not_finite_is_told_before_any_frame(animator: Animator, portrait: Portrait, name: str) -> None:
    motion = animator.motion(WAVE, portrait)
    part = getattr(motion, name).copy()
    part[-1, 0] = np.nan
    with pytest.raises(DataError, match=f"the motion's {name} holds values that are not finite"):
        next(animator.frames(replace(motion, **{name: part}), portrait))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((64, 64), np.uint8)}, r"'image' has shape \(64, 64\), wanted \(64, 64, 3\)"),
        ({"image": np.zeros((64, 64, 3))}, "'image' is of float64, wanted uint8"),
        ({"landmarks": np.zeros((468, 3))}, r"'landmarks' has shape \(468, 3\), wanted \(478, 3\)"),
        ({"subject": np.full((478, 3), np.nan)}, "'subject' holds values that are not finite"),
        ({"torso": torch.zeros(18, 3)}, "'torso' is a Tensor, wanted a numpy array"),
        ({"person": np.zeros((32, 32))}, r"'person' has shape \(32, 32\), wanted \(64, 64\)"),
        ({"pose": HeadPose(np.zeros(3), np.zeros(2), np.ones(()))}, r"'pose.translation' has shape \(2,\)"),
        ({"pose": HeadPose(np.zeros(3), np.zeros(3), np.array(np.inf))}, "'pose.scale' holds values"),
    ],
)
def test_a_portrait_that_cannot_be_one_is_told(portrait: Portrait, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"portrait {message}"):
        replace(portrait, **change)


@pytest.mark.parametrize("lips", [None, [[0.0]], torch.zeros(5, 40, 3), np.zeros((5, 41, 3)), np.float32(3.0)])
def test_a_motion_that_cannot_be_one_is_told(lips: Any) -> None:
    with pytest.raises(DataError, match="motion 'lips'"):
        Motion(lips, np.zeros((5, 60, 3)), np.zeros((5, 7)), np.zeros((5, 18, 3)))


def test_a_portrait_of_floats_or_of_torch_is_the_same(portrait: Portrait, astronaut: np.ndarray) -> None:
    for image in (astronaut / 255.0, torch.from_numpy(astronaut.copy()).permute(2, 0, 1)):
        again = make_portrait(image, 64)
        assert np.array_equal(again.image, portrait.image) and np.array_equal(again.landmarks, portrait.landmarks)


@pytest.mark.parametrize("size", [0, -64, 31, 5000, 64.5, "64", None, True])
def test_a_silly_size_is_told(astronaut: np.ndarray, size: Any) -> None:
    with pytest.raises(MediaError, match=r"size is .* wanted a whole number from 32 to 4096"):
        make_portrait(astronaut, size)


def test_other_arguments_of_a_portrait_are_checked(astronaut: np.ndarray) -> None:
    with pytest.raises(MediaError, match=r"shape \(512, 512, 2\)"):
        make_portrait(astronaut[..., :2], 64)
    with pytest.raises(FaceError, match=r"face has shape \(468, 3\), wanted \(478, 3\)"):
        make_portrait(astronaut, 64, face=np.zeros((468, 3)))
    with pytest.raises(MediaError, match="number is 0, wanted a whole number from 1 to"):
        make_reference(astronaut, 64, number=0)

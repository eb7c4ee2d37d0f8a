"""The checkpoints in assets/: small, loadable, and as the model card says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from moda.blinks import find_blinks
from moda.config import load_yaml, parse
from moda.landmarks import EYES, LIPS, eye_opening
from moda.media.audio import read_audio
from moda.pipeline import AnimationConfig, Animator
from moda.representation import SAMPLE_RATE, Portrait
from moda.streaming.shaping import cut
from moda.tracking.portrait import make_portrait
from tests.conftest import REPOSITORY

LIMIT = 20_000_000


@pytest.fixture(scope="module")
def animator() -> Animator:
    config = parse(AnimationConfig, load_yaml(REPOSITORY / "configs" / "default" / "infer.yaml"), source="default")
    return Animator.from_config(config, torch.device("cpu"))


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray) -> Portrait:
    return make_portrait(astronaut, 256)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_audio(REPOSITORY / "assets" / "demo.wav")[: 4 * SAMPLE_RATE]


def test_each_is_under_20_mb() -> None:
    files = sorted((REPOSITORY / "assets" / "checkpoints").glob("*.pt"))
    assert [file.stem for file in files] == ["audio2repr", "faco", "renderer", "renderer_512", "speech_encoder", "sync"]
    assert all(file.stat().st_size < LIMIT for file in files)


def test_a_seed_changes_head_eyes_and_shoulders_and_leaves_the_lips(
    animator: Animator, portrait: Portrait, speech: np.ndarray
) -> None:
    first, second = (animator.motion(speech, portrait, seed) for seed in (0, 1))
    assert np.array_equal(first.lips, second.lips)
    for name in ("eyes", "head", "torso"):
        assert np.abs(getattr(first, name) - getattr(second, name)).mean() > 0.01, name


def test_lips_move_in_speech_and_rest_in_silence(animator: Animator, portrait: Portrait, speech: np.ndarray) -> None:
    spoken = animator.motion(speech, portrait)
    silent = animator.motion(np.zeros_like(speech), portrait)
    assert spoken.lips.std(axis=0).max() > 0.5
    assert np.abs(silent.lips).max() < 1e-3
    assert silent.head[:, :3].std(axis=0).max() > 0.1, "the head still lives"


def test_who_listens_blinks_and_moves_the_head_and_keeps_the_mouth_shut(animator: Animator, portrait: Portrait) -> None:
    """Half a minute of silence: no more than people do, and no drift."""
    idle = animator.motion(np.zeros(30 * SAMPLE_RATE, np.float32), portrait)
    assert np.abs(idle.lips).max() < 1e-3
    eyes = np.repeat(portrait.subject[None], len(idle), axis=0)
    eyes[:, list(EYES)] += idle.eyes
    assert 3 <= len(find_blinks(eye_opening(eyes))) <= 20
    rotation = idle.head[:, :3]
    assert (rotation.std(axis=0) > 0.3).all() and (rotation.std(axis=0) < 8).all()
    assert np.abs(rotation[:250].mean(axis=0) - rotation[-250:].mean(axis=0)).max() < 8


def test_liveliness_is_how_far_the_head_turns(portrait: Portrait, speech: np.ndarray) -> None:
    tree = load_yaml(REPOSITORY / "configs" / "default" / "infer.yaml")
    calm, lively = (
        Animator.from_config(parse(AnimationConfig, tree | {"liveliness": value}, source="test"), torch.device("cpu"))
        for value in (1.0, 8.0)
    )
    spreads = [one.motion(speech, portrait).head[:, :3].std(axis=0).mean() for one in (calm, lively)]
    assert spreads[1] > 1.5 * spreads[0]


def test_512_px_has_a_renderer_of_its_own(
    animator: Animator, astronaut: np.ndarray, speech: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    large = animator.with_config(animator.config.model_copy(update={"size": 512}))
    assert large.renderer is not animator.renderer and large.faco is animator.faco
    portraits = [make_portrait(astronaut, size) for size in (256, 512)]
    motion = animator.motion(speech, portraits[0])
    widest = int(np.argmax(motion.lips[:, LIPS.index(14), 1]))
    shown = cut(motion, widest)
    small, fine = (
        next(iter(one.frames(shown, portrait))) for one, portrait in zip((animator, large), portraits, strict=True)
    )
    assert fine.shape == (512, 512, 3) and "was trained at" not in caplog.text
    halved = cv2.resize(fine, (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(halved.astype(float) - small).mean() < 4
    enlarged = cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC)
    detail = [cv2.Laplacian(frame[250:420, 170:340], cv2.CV_64F).var() for frame in (enlarged, fine)]
    assert detail[1] > 1.3 * detail[0], "it is no enlarged picture"


def test_frames_show_the_same_person_with_a_still_background(
    animator: Animator, portrait: Portrait, speech: np.ndarray
) -> None:
    motion = animator.motion(speech[: 2 * SAMPLE_RATE], portrait)
    frames = np.stack(list(animator.frames(motion, portrait))).astype(float)
    assert frames.shape == (50, 256, 256, 3)
    corner = frames[:, :40, -20:]
    assert np.abs(corner - corner[0]).max() <= 3
    assert np.abs(frames.mean(axis=0) - portrait.image).mean() < 25
    assert np.abs(np.diff(frames[:, 60:160, 60:160], axis=0)).mean() > 0.2, "the face moves"

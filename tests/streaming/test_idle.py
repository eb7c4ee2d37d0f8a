"""A person without speech: lips at rest, blinks, a head that moves, no seam."""

from __future__ import annotations

import numpy as np
import torch

from moda.animation import AnimationConfig
from moda.blinks import find_blinks
from moda.landmarks import EYES, IRIS_ROWS, eye_opening
from moda.media.audio import read_audio
from moda.pipeline import Animator
from moda.representation import HeadPose, Motion, Portrait
from moda.stages.animation import load_stage
from moda.stages.faco.network import RestingFace
from tests.conftest import REPOSITORY


def speed(values: np.ndarray) -> float:
    """Mean change from frame to frame."""
    return float(np.abs(np.diff(values, axis=0)).mean())


def gaze(motion: Motion) -> np.ndarray:
    """(T, 2) mean place of the irises."""
    return np.asarray(motion.eyes[:, IRIS_ROWS, :2].mean(axis=1))


def test_a_minute_of_silence_is_a_person_who_listens() -> None:
    """The network that ships. No renderer: what is asked here is the motion."""
    mesh = load_stage("audio2repr").normalizers["subject"].mean.numpy()  # type: ignore[union-attr,operator,index]
    pose = HeadPose(np.zeros(3), np.zeros(3), np.ones(()))
    blank = np.zeros((8, 8, 3), np.uint8)
    portrait = Portrait(blank, mesh, pose, mesh, np.zeros((18, 3), np.float32), np.zeros((8, 8), np.float32))
    animator = Animator(
        AnimationConfig(), torch.device("cpu"),
        audio2repr=load_stage("audio2repr", AnimationConfig()), faco=RestingFace(), renderer=None,  # type: ignore[arg-type]
    )  # fmt: skip
    motion = animator.idle(60, portrait, seed=0)
    assert len(motion) == 1500
    assert (np.abs(motion.lips).max(axis=(1, 2)) < 0.1).mean() >= 0.99
    eyes = np.repeat(mesh[None], len(motion), axis=0)
    eyes[:, list(EYES)] += motion.eyes
    assert 12 <= len(find_blinks(eye_opening(eyes))) <= 25
    steps = np.abs(np.diff(motion.head[:, :3], axis=0)).max(axis=1)
    assert motion.head[:, :3].std(axis=0).min() > 0.3
    speech = animator.motion(read_audio(REPOSITORY / "assets" / "demo.wav"), portrait, seed=0)
    assert 0.3 < speed(motion.head[:, :3]) / speed(speech.head[:, :3]) < 0.55, "people who pause: 0.42"
    assert 0.5 < speed(motion.torso) / speed(speech.torso) < 0.9, "0.62"
    assert speed(gaze(motion)) > 0.8 * speed(gaze(speech)), "the eyes go on"
    assert steps.max() < 12 * np.median(steps)
    joins = steps[2::10]  # where a window goes over into the next: no larger steps than elsewhere
    assert joins.mean() < 1.3 * steps.mean()

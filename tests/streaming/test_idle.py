"""A person without speech: lips at rest, blinks, a head that moves, no seam."""

from __future__ import annotations

import numpy as np
import torch

from moda.animation import AnimationConfig
from moda.blinks import find_blinks
from moda.landmarks import EYES, eye_opening
from moda.pipeline import Animator
from moda.representation import HeadPose, Portrait
from moda.stages.animation import load_stage
from moda.stages.faco.network import RestingFace


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
    assert steps.max() < 12 * np.median(steps)
    joins = steps[2::10]  # where a window goes over into the next: no larger steps than elsewhere
    assert joins.mean() < 1.3 * steps.mean()

"""What is done to a motion that stage 1 predicted: contrast, gains, filters, and the gate of the lips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from moda.animation import AnimationConfig
from moda.errors import CheckpointError
from moda.gaze import Fixations
from moda.landmarks import BROW_ROWS
from moda.lips import with_contrast
from moda.listening import Liveliness
from moda.networks import MotionParts
from moda.representation import FPS, PARTS, Motion
from moda.smoothing import smooth_motion


def finite_parts(predicted: MotionParts) -> dict[str, Tensor]:
    """The parts (T, ...) of a batch of one, float32 on the CPU; raises `CheckpointError` if one is not finite."""
    parts = {name: getattr(predicted, name)[0].float().cpu() for name in PARTS}
    bad = [name for name, values in parts.items() if not torch.isfinite(values).all()]
    if bad:
        raise CheckpointError(f"stage audio2repr gave values that are not finite for {', '.join(bad)}; train it again")
    return parts


def shaped(
    parts: Mapping[str, np.ndarray], gate: np.ndarray | None, lips_mean: np.ndarray, config: AnimationConfig
) -> Motion:
    """Contrast about a mean (40, 3), gate (T,), gains and filters on the parts of a raw motion at 25 fps.

    gate: None leaves the lips as they are.
    """
    gains = config.gains
    lips = with_contrast(parts["lips"], config.lip_contrast, lips_mean)
    if gate is not None:
        lips = lips * gate[:, None, None]
    eyes = np.array(parts["eyes"])
    eyes[:, BROW_ROWS] *= np.asarray(gains.brows, eyes.dtype)
    motion = motion_of({**parts, "lips": lips, "eyes": eyes})
    return smooth_motion(motion.scaled(gains.lips, gains.eyes, gains.head, gains.torso), config.smoothing)


def fixations_of(config: AnimationConfig, subject: Tensor, seed: int) -> Fixations | None:
    """What makes the gaze rest and jump, for a subject (1, 478, 3); None where it stays as it was drawn."""
    rests = config.fixations and config.gains.eyes
    return Fixations(subject[0].cpu().numpy(), seed) if rests else None


def liveliness_of(config: AnimationConfig) -> Liveliness | None:
    """What calms head and shoulders in silences; None where they move as in speech."""
    return Liveliness(config.listening) if config.pauses and config.listening < 1 else None


def motion_of(parts: Mapping[str, np.ndarray], fps: float = FPS) -> Motion:
    """A motion of its parts by name."""
    return Motion(parts["lips"], parts["eyes"], parts["head"], parts["torso"], fps)


def join(pieces: Sequence[Motion]) -> Motion:
    """Pieces of one motion, in order, at the frame rate of the last."""
    return motion_of({name: np.concatenate([getattr(p, name) for p in pieces]) for name in PARTS}, pieces[-1].fps)


def cut(motion: Motion, first: int) -> Motion:
    """The frames of a motion from `first` on."""
    return motion_of({name: getattr(motion, name)[first:] for name in PARTS}, motion.fps)

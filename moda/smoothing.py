"""Temporal filters of a motion (paper's post-filter; docs/method.md, section 2)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from moda.config import Config
from moda.representation import FPS, Motion


class SmoothingConfig(Config):
    """Width (sigma) of the Gaussian of each part, in frames at 25 fps; 0 leaves a part alone.

    The paper's: lips 1.5, eyes 2, head rotation 4, head translation and scale 6, torso 4, the other points of the
    face 5 (configs/paper/infer.yaml). The defaults are lighter, since 1.5 frames already close a fast lip opening by a
    third.
    """

    lips: float = Field(0.6, ge=0)
    """Lips: just enough to take off jitter between frames."""
    eyes: float = Field(0.5, ge=0)
    """Eyes, brows and irises: a blink lasts 3 to 8 frames."""
    rotation: float = Field(0.7, ge=0)
    """Head rotation."""
    translation: float = Field(2.0, ge=0)
    """Head translation and scale."""
    torso: float = Field(3.0, ge=0)
    """Shoulder points."""
    face: float = Field(0.0, ge=0)
    """The face's other points, which stage 2 places frame by frame from filtered lips and eyes."""


def gaussian(values: np.ndarray, sigma: float, axis: int = 0) -> np.ndarray:
    """Gaussian along time: (T, ...) -> (T, ...), same floating dtype.

    sigma: frames; under 0.125 it is a copy. Symmetric, so nothing is delayed; past the ends the nearest
    frame is repeated, so constants stay what they are.
    """
    from scipy.ndimage import gaussian_filter1d  # here, as settings are read before anything is filtered

    values = np.asarray(values)
    if sigma < 0:
        raise ValueError(f"sigma is {sigma}, wanted 0 or more")
    dtype = values.dtype if np.issubdtype(values.dtype, np.floating) else np.dtype(np.float64)
    if sigma < 0.125:  # scipy's kernel has no neighbours then
        return values.astype(dtype, copy=True)
    # filtered around the first frame, so that a large offset costs no precision
    first = np.take(values, [0], axis=axis).astype(np.float64)
    smooth = gaussian_filter1d(values.astype(np.float64) - first, sigma, axis=axis, mode="nearest", truncate=4.0)
    return (smooth + first).astype(dtype)


def smooth_motion(motion: Motion, config: SmoothingConfig) -> Motion:
    """The motion with each part filtered; sigmas follow the motion's frame rate."""
    rate = motion.fps / FPS
    head = np.concatenate(
        (gaussian(motion.head[:, :3], config.rotation * rate), gaussian(motion.head[:, 3:], config.translation * rate)),
        axis=1,
    )
    return Motion(
        lips=gaussian(motion.lips, config.lips * rate),
        eyes=gaussian(motion.eyes, config.eyes * rate),
        head=head,
        torso=gaussian(motion.torso, config.torso * rate),
        fps=motion.fps,
    )

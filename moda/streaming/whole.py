"""Motion of a whole sound by the paper's windows, for which the whole sound must be there (`windows: paper`)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from moda.animation import AnimationConfig
from moda.config import to_dict
from moda.device import random_generator
from moda.lips import mouth_gate
from moda.networks import MotionNetwork
from moda.representation import PARTS, Motion, frames_of, samples_at
from moda.streaming.shaping import finite_parts, fixations_of, liveliness_of, motion_of, shaped
from moda.streaming.tail import Tail
from moda.windows import SlidingWindow, run_windowed

_FILTER_FRAMES = 1500
"""Frames that are filtered at once: a minute."""


@torch.inference_mode()
def whole_motion(
    network: MotionNetwork, subject: Tensor, wave: np.ndarray, config: AnimationConfig, device: torch.device, seed: int
) -> Motion:
    """The motion of a sound (N,) at 25 fps, for a subject (1, 478, 3) on the device.

    The noise is drawn once for the clip, so that neighbouring windows agree, and on the CPU for every device.
    """
    frames = frames_of(len(wave))
    latent = network.latent_dim
    noise = torch.randn(frames, latent, generator=random_generator(seed)).to(device) if latent else None
    recording = network.listen(torch.from_numpy(wave).to(device))
    sound = Tail(wave)

    def predict(start: int, stop: int) -> dict[str, Tensor]:
        piece = torch.from_numpy(sound.between(samples_at(start), samples_at(stop))).to(device)
        drawn = None if noise is None else noise[None, start:stop]
        speech = None if recording is None else recording.between(start, stop)
        return finite_parts(network(piece[None], subject, stop - start, drawn, speech))

    merged = run_windowed(predict, frames, window=SlidingWindow(network.config.window, network.config.stride))
    parts = {name: values.numpy() for name, values in merged.items()}
    gate = mouth_gate(wave, frames, config.pauses)
    _finish(parts, gate, network.lips_mean.cpu().numpy(), config)
    if (liveliness := liveliness_of(config)) is not None:
        parts["head"], parts["torso"] = liveliness(parts["head"], parts["torso"], gate)
    if (fixations := fixations_of(config, subject, seed)) is not None:
        parts["eyes"] = fixations(parts["eyes"], parts["head"])
    return motion_of(parts)


def _finish(parts: dict[str, np.ndarray], gate: np.ndarray, mean: np.ndarray, config: AnimationConfig) -> None:
    """`shaped` in place, a stretch at a time, with as many frames around it as the filters see, so that an hour needs
    no second copy of its motion.
    """
    frames, reach = len(gate), filter_reach(max(to_dict(config.smoothing).values()))
    behind = {name: values[:0].copy() for name, values in parts.items()}  # raw frames before the stretch
    for start in range(0, frames, _FILTER_FRAMES):
        stop = min(start + _FILTER_FRAMES, frames)
        first = start - len(behind["lips"])
        raw = {name: np.concatenate((behind[name], parts[name][start : stop + reach])) for name in PARTS}
        behind = {name: values[max(0, stop - reach - first) : stop - first] for name, values in raw.items()}
        done = shaped(raw, gate[first : stop + reach], mean, config)
        for name in PARTS:
            parts[name][start:stop] = getattr(done, name)[start - first : stop - first]


def filter_reach(sigma: float) -> int:
    """Frames on either side that a filter of width `sigma` sees: `smoothing.gaussian` cuts off at 4 sigma."""
    return math.ceil(4 * sigma) + 1 if sigma else 0

"""What a training of stage 1 shows of its first window: curves, moving points and attention, true and predicted."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from moda.landmarks import EYES, LIPS
from moda.stages.audio2repr.base import Prediction
from moda.stages.audio2repr.measures import central_opening
from moda.training.drawing import draw_curves, draw_maps, draw_moving_points

ATTENTION = {
    "spec": r"spec\.decoder\..*self_attn",  # that to the audio is the identity by its mask
    "prob_encoder": r"prob\.encoder\..*",
    "prob_decoder": r"prob\.decoder\..*self_attn",
    "prob_latent": r"prob\.decoder\..*multihead_attn",
    "flow": r"flow\.blocks\..*",
}
"""Attentions that a preview shows, by the names of their modules; those that the network has."""


def pictures_of(
    prediction: Prediction, windows: Mapping[str, Tensor], maps: Mapping[str, Tensor]
) -> dict[str, np.ndarray]:
    """Pictures and a video of one window (B = 1); maps: as `nn.attention_maps` gives them."""
    curves = {
        "lip_opening": (central_opening(windows["lips"]), central_opening(prediction.lips)),
        "head_yaw": (windows["head"][..., 1], prediction.head[..., 1]),
    }
    pictures = {name: draw_curves([curve[0].cpu().numpy() for curve in pair]) for name, pair in curves.items()}
    rest = windows["subject"][:, [*LIPS, *EYES]]
    motions = [(windows["lips"], windows["eyes"]), (prediction.lips, prediction.eyes)]
    clouds = [(rest + torch.cat(motion, dim=2)[0])[..., :2].cpu().numpy() for motion in motions]
    pictures["lips_and_eyes"] = draw_moving_points(clouds)
    for name, prefix in ATTENTION.items():
        layers = [weights[0] for module, weights in maps.items() if re.fullmatch(prefix, module)]
        if layers:
            pictures[f"attention_{name}"] = draw_maps(layers)
    return pictures

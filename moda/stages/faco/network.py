"""Stage 2 networks, FaCo-Net: lips and eyes to the dense face, frame by frame.

Paper, section 3.2; docs/method.md, section 3. No norm layers; LeakyReLU 0.2 between linear layers. G has 1,900,442
parameters, D 792,705; there is one size only.

Dimension letters: B batch, T frames, P points.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moda.landmarks import EYES, LIPS, N_EYES, N_LANDMARKS, N_LIPS
from moda.nn.blocks import MLP
from moda.normalization import Normalizer
from moda.stages.faco.config import NetworkConfig

POINTS = {"lips": N_LIPS, "eyes": N_EYES, "face": N_LANDMARKS, "subject": N_LANDMARKS}
"""Points of each group; all are (P, 3)."""
CHANNELS = {name: 3 * points for name, points in POINTS.items()}
"""Channels of each group: its points flattened."""


def normalizers() -> nn.ModuleDict:
    """Statistics of lips, eyes, face and subject, shared by generator and discriminator."""
    return nn.ModuleDict({name: Normalizer(points, 3) for name, points in POINTS.items()})


def normalizer(statistics: nn.ModuleDict, name: str) -> Normalizer:
    """The statistics of one group."""
    found = statistics[name]
    assert isinstance(found, Normalizer)
    return found


def _flat(statistics: nn.ModuleDict, name: str, points: Tensor) -> Tensor:
    """Physical points (..., P, 3) to standardised channels (..., 3 P)."""
    return normalizer(statistics, name).normalize(points).flatten(-2)


def _with_given(face: Tensor, lips: Tensor, eyes: Tensor) -> Tensor:
    """Face offsets (B, T, 478, 3) whose lips and eyes are replaced by the input's."""
    face = face.clone()
    face[:, :, list(LIPS)] = lips.to(face.dtype)
    face[:, :, list(EYES)] = eyes.to(face.dtype)
    return face


class FaCoNet(nn.Module):
    """G of docs/method.md, section 3: offsets of all 478 points from lips, eyes and the subject's mesh.

    Inputs and outputs are pixels; statistics are buffers in `normalizers`, fitted by the stage.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.normalizers = normalizers()
        self.subject = MLP((CHANNELS["subject"], w, w, 2 * w), "none")
        self.lips = MLP((CHANNELS["lips"], 2 * w, 2 * w, w), "none")
        self.eyes = MLP((CHANNELS["eyes"], 2 * w, 2 * w, w), "none")
        self.decoder = MLP((2 * w, 4 * w, 4 * w, 4 * w, CHANNELS["face"]), "none")

    def forward(self, lips: Tensor, eyes: Tensor, subject: Tensor) -> Tensor:
        """Lips (B, T, 40, 3), eyes (B, T, 60, 3), subject (B, 478, 3) -> face offsets (B, T, 478, 3)."""
        motion = torch.cat(
            (self.lips(_flat(self.normalizers, "lips", lips)), self.eyes(_flat(self.normalizers, "eyes", eyes))), dim=-1
        )
        hidden = motion + self.subject(_flat(self.normalizers, "subject", subject))[:, None]
        raw: Tensor = self.decoder(hidden)
        face = normalizer(self.normalizers, "face").denormalize(raw.unflatten(-1, (N_LANDMARKS, 3)))
        return _with_given(face, lips, eyes) if self.config.keep_inputs else face


class RestingFace(nn.Module):
    """No FaCo-Net (the paper's ablation): lips and eyes of the input, every other point at rest."""

    def forward(self, lips: Tensor, eyes: Tensor, subject: Tensor) -> Tensor:
        """As `FaCoNet`; subject gives the face's type and number of points."""
        return _with_given(subject.new_zeros(*lips.shape[:2], *subject.shape[1:]), lips, eyes)


class FaCoDiscriminator(nn.Module):
    """D of docs/method.md, section 3, conditional on the subject: logits of whether the face is real.

    `statistics` are the generator's `normalizers`, so that both use the same scale.
    """

    def __init__(self, config: NetworkConfig, statistics: nn.ModuleDict) -> None:
        super().__init__()
        w = config.width
        self.normalizers = statistics
        self.motion = MLP((CHANNELS["lips"] + CHANNELS["eyes"] + CHANNELS["face"], 2 * w, 2 * w), "none")
        self.subject = MLP((CHANNELS["subject"], w, w, 2 * w), "none")
        self.classifier = MLP((2 * w, w, w, 1), "none")

    def forward(self, lips: Tensor, eyes: Tensor, face: Tensor, subject: Tensor) -> Tensor:
        """Lips (B, T, 40, 3), eyes (B, T, 60, 3), face (B, T, 478, 3), subject (B, 478, 3) -> logits (B, T, 1)."""
        groups = {"lips": lips, "eyes": eyes, "face": face}
        motion = self.motion(torch.cat([_flat(self.normalizers, name, x) for name, x in groups.items()], dim=-1))
        out: Tensor = self.classifier(motion + self.subject(_flat(self.normalizers, "subject", subject))[:, None])
        return out


def build(config: NetworkConfig) -> FaCoNet:
    """The network for inference; its weights are to be loaded."""
    return FaCoNet(config)

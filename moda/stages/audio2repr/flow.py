"""Stage 1 as configs/default has it, not in the paper: lips from SpecAttn, the rest by flow matching, and blinks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from moda.nn.blinks import BlinkProcess
from moda.nn.blocks import MLP
from moda.nn.flow import FlowAttn
from moda.representation import SHAPES
from moda.stages.audio2repr.base import CHANNELS, Audio2Repr, Features, Prediction, spec_attention
from moda.stages.audio2repr.config import FlowNetworkConfig

STOCHASTIC_GROUPS = ("eyes", "head", "torso")
"""What the flow generates; the lips never depend on noise."""
TURNING_DEGREES = (0.25, 16.0)
"""Least and most that a head turns, as the flow is told it."""


class FlowAudio2Repr(Audio2Repr):
    """SpecAttn and an MLP for the lips; conditional flow matching (nn.flow) under s for eyes, head and torso.

    With `blinks`, the flow generates open eyes, and a point process (nn.blinks) adds blinks. Z is the flow's latent
    channels (25 with the defaults), then the two of the blinks.
    """

    def __init__(self, config: FlowNetworkConfig) -> None:
        super().__init__(config)
        self.config = config
        d, flow = config.d, config.flow
        self.spec = spec_attention(config)
        components = {"eyes": flow.eyes, "head": flow.head, "torso": flow.torso}
        self.flow = FlowAttn(
            {name: (CHANNELS[name], components[name], name == "head") for name in STOCHASTIC_GROUPS},
            d,
            width=d,
            layers=flow.layers,
            heads=flow.heads,
            ffn=flow.ffn,
            kernel=flow.kernel,
            dropout=flow.dropout,
            styled=flow.liveliness,
        )
        self.heads = nn.ModuleDict({"lips": MLP((d, *config.lip_hidden, CHANNELS["lips"]), config.norm)})
        self.blinks = BlinkProcess(d) if config.blinks else None
        self.latent_dim = self.flow.latent_dim + (self.blinks.noise_dim if self.blinks is not None else 0)

    def _predict(self, features: Features, noise: Tensor | None) -> Prediction:
        """Solves the flow."""
        assert noise is not None
        start, blink_noise = noise[..., : self.flow.latent_dim], noise[..., self.flow.latent_dim :]
        flow = self.config.flow
        x = self.flow.sample(start, features.both, flow.steps, flow.solver, self._style(features))
        eyes, head, torso = (values.unflatten(-1, SHAPES[name]) for name, values in self.flow.decode(x).items())
        if self.blinks is not None:
            eyes = self.blinks.close(eyes, features.mesh, self.blinks.draw(features.both, blink_noise))
        return Prediction(self.predict_lips(features), eyes, head, torso)

    def predict_lips(self, features: Features) -> Tensor:
        """Lips alone, (B, T, 40, 3), without solving the flow: for training."""
        assert self.spec is not None
        return self._head("lips", self.spec(features.both, features.audio))

    def flow_loss(
        self, features: Features, eyes: Tensor, head: Tensor, torso: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Flow-matching loss of true motion in physical units (shapes as in `Prediction`)."""
        x1 = self.flow.encode({"eyes": eyes, "head": head, "torso": torso})
        return self.flow.loss(x1, features.both, generator, self._style(features))

    def _style(self, features: Features) -> Tensor | None:
        """(B,) 0..1 on a logarithmic scale of `TURNING_DEGREES`, NaN where it is not known."""
        if not self.config.flow.liveliness:
            return None
        turning = features.turning
        if turning is None:
            turning = features.both.new_full((len(features.both),), self.config.flow.turning_degrees)
        low, high = TURNING_DEGREES
        return (turning.clamp(low, high) / low).log() / math.log(high / low)

    def blink_loss(self, features: Features, onsets: Tensor, seen: Tensor, usual: Tensor) -> Tensor:
        """Likelihood of true onsets, see `BlinkProcess.loss`; with `blinks` only.

        The features get no gradient: a few hundred blinks are too few to train them.
        """
        if self.blinks is None:
            raise ValueError("blink_loss needs blinks: true")
        return self.blinks.loss(features.both.detach(), onsets, seen, usual)

"""Settings of stage 1. The network is one of two kinds, `kind: paper` or `kind: flow`; a kind has its own fields."""

from __future__ import annotations

from typing import Annotated, Literal, Self, cast

from pydantic import Field

from moda.config import Config
from moda.landmarks import N_EYES, N_TORSO
from moda.nn.settings import NormKind, SlopeKind, Solver, SpeechConfig
from moda.representation import HEAD, STRIDE, WINDOW


class Audio2ReprConfig(Config):
    """What both kinds have. The defaults are the paper's."""

    d: int = 128
    """Model width."""
    layers: int = 3
    """Layers of each attention stack."""
    heads: int = 4
    """Attention heads."""
    ffn: int = 128
    """Feed-forward width of the attention stacks."""
    dropout: float = 0.1
    """Dropout of the attention stacks."""
    period: int = Field(default=25, ge=1, description="q of M_T and PPE, frames: one second at 25 fps.")
    slopes: SlopeKind = "faceformer"
    """Slopes of M_T: "faceformer" 2^(-2k) a head, or the released code's "single" 1/256."""
    norm: NormKind = "batch"
    """Norm in the MLPs. "layer" behaves alike in training and inference, and with one subject a batch."""
    mel_bands: int = Field(default=0, ge=0)
    """Log-mel bands concatenated to the speech encoder's features (nn.mel); 0 = none, as in the paper."""
    standardise: bool = False
    """Standardise every channel of the audio features by the training set's statistics; the paper does not. The
    encoder's rarer phonetic components have a small variance, and matter."""
    audio_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of the input of the audio's MLP."""
    context_layers: int = Field(default=0, ge=0)
    """Convolutions over time between the audio's MLP and the branches; 0 = none, as in the paper."""
    context_kernel: int = Field(default=5, ge=1, description="Frames of each of them; odd.")
    lip_hidden: tuple[int, ...] = (512,)
    """Hidden widths of the lips' head."""
    window: int = WINDOW
    """Frames a window at inference."""
    stride: int = STRIDE
    """Frames from one window to the next at inference."""
    wav2vec: SpeechConfig = SpeechConfig()
    """The speech encoder."""

    def without_initial_weights(self) -> Self:
        """The same architecture, not reading any weights to start from: for loading a checkpoint."""
        return self.model_copy(update={"wav2vec": self.wav2vec.without_initial_weights()})


class PaperConfig(Audio2ReprConfig):
    """`kind: paper`, the dual attentions (paper, section 3.1) and its ablations. The defaults are the paper's."""

    kind: Literal["paper"]
    attention: Literal["dual", "spec", "prob", "lstm", "none"] = "dual"
    """"dual": SpecAttn and ProbAttn. The others are ablations: one of the two alone, an LSTM in the place of both, or
    none, where the heads read s frame by frame."""
    lips_read: Literal["both", "spec"] = "both"
    """What the lips' head reads under attention: dual: both branches, as released, or SpecAttn alone, which makes the
    lips independent of the noise."""
    other_hidden: tuple[int, ...] = (256, 256)
    """Hidden widths of the eyes', head's and torso's heads."""
    head_channels: Literal[6, 7] = 7
    """7: rotation, translation and scale, as released. 6: the paper's text, whose scale does not change."""


class FlowConfig(Config):
    """The velocity field of `kind: flow`, and its solver (nn.flow)."""

    layers: int = 4
    """Transformer blocks of the velocity field."""
    heads: int = 4
    """Attention heads a block."""
    ffn: int = 256
    """Width of the feed-forward part."""
    kernel: int = Field(default=9, description="Frames of the depthwise convolution; odd.")
    dropout: float = 0.1
    """Dropout in training."""
    eyes: int = Field(default=12, ge=1, le=3 * N_EYES, description="Principal components of the eyes' 180 channels.")
    head: int = Field(default=7, ge=1, le=HEAD, description="Principal components of the head's 7 channels.")
    torso: int = Field(default=6, ge=1, le=3 * N_TORSO, description="Principal components of the torso's 54 channels.")
    steps: int = Field(default=12, ge=1, description="Steps of the solver at inference.")
    solver: Solver = "euler"
    """"euler": one evaluation a step. "heun": two, second order."""
    liveliness: bool = False
    """The flow is told how far the person's head turns: else it turns as a mean person's does, and readers who hold
    still are many where footage is recited sentences."""
    turning_degrees: float = Field(default=7.0, gt=0)
    """How far it turns at inference, with liveliness: root mean square of pitch, yaw and roll about their medians."""
    liveliness_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of training windows in which it is not told."""


class FlowNetworkConfig(Audio2ReprConfig):
    """`kind: flow`: lips from SpecAttn; eyes, head and torso by flow matching. configs/default recommends it."""

    kind: Literal["flow"]
    flow: FlowConfig = FlowConfig()
    """Flow matching of eyes, head and torso."""
    blinks: bool = True
    """The flow generates open eyes, and blinks are added as events (nn.blinks). False: the flow generates them."""


NetworkConfig = cast(type[Audio2ReprConfig], Annotated[PaperConfig | FlowNetworkConfig, Field(discriminator="kind")])
"""The `network` section: `kind` decides."""


class LossConfig(Config):
    """Weights of the terms, and their units."""

    train: Literal["all", "lips", "stochastic"] = "all"
    """What learns. "lips": the lips alone. "stochastic": eyes, head, torso and blinks alone; the lips and all that they
    read stay bit-equal, and the flow's loss is the score. Both need kind: flow."""
    standardise: bool = True
    """Targets are standardised by the training set's statistics. False, with kind: paper: as they are, in pixels,
    degrees and shares of scale (the paper names no such step)."""
    lips: float = Field(1.0, ge=0)
    """L1 of the lips."""
    lips_velocity: float = Field(1.0, ge=0)
    """L1 of the lips' movement from frame to frame."""
    opening: float = Field(1.0, ge=0)
    """L1 of the vertical openings of the inner lips."""
    others: float = Field(1.0, ge=0)
    """L1 of eyes, head and torso, each; unused with kind: flow."""
    others_velocity: float = Field(0.5, ge=0)
    """L1 of their movement; unused with kind: flow."""
    kl: float = Field(1e-2, ge=0)
    """Kullback-Leibler divergence of the VAE; unused elsewhere."""
    flow: float = Field(1.0, ge=0)
    """Flow matching; unused with kind: paper."""
    blinks: float = Field(1.0, ge=0)
    """Likelihood of the onsets of blinks; unused without blinks: true."""

"""Settings of the stage 1 network. The defaults are the paper's; configs/default/audio2repr.yaml recommends others."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from moda.config import Config
from moda.landmarks import N_EYES, N_TORSO
from moda.nn.settings import NormKind, SlopeKind, Solver, SpeechConfig
from moda.representation import HEAD, STRIDE, WINDOW

Branch = Literal["spec", "prob", "both", "frame"]


class FlowConfig(Config):
    """The flow branch (prob: flow)."""

    layers: int = 4
    """Transformer blocks of the velocity field."""
    heads: int = 4
    """Attention heads a block."""
    ffn: int = 256
    """Width of the feed-forward part."""
    kernel: int = Field(default=9, description="Frames of the depthwise convolution; odd.")
    dropout: float = 0.1
    """Dropout in training."""
    eyes: int = Field(
        default=12, ge=1, le=3 * N_EYES, description="Principal components kept of the eyes' 180 channels."
    )
    head: int = Field(default=7, ge=1, le=HEAD, description="Principal components kept of the head's 7 channels.")
    torso: int = Field(
        default=6, ge=1, le=3 * N_TORSO, description="Principal components kept of the torso's 54 channels."
    )
    steps: int = Field(default=12, ge=1, description="Steps of the solver at inference.")
    solver: Solver = "euler"
    """"euler": one evaluation a step. "heun": two, second order."""


class NetworkConfig(Config):
    """Architecture of stage 1. The defaults are the paper's."""

    d: int = 128
    """Model width."""
    body: Literal["dual", "spec_only", "prob_only", "lstm", "none"] = "dual"
    """"dual": SpecAttn and the probabilistic branch. The others are the paper's ablation rows: one
    branch alone, an LSTM over s in the place of both, or none, where s is read frame by frame."""
    prob: Literal["vae", "flow"] = "vae"
    """The probabilistic branch: the paper's transformer VAE, or flow matching (body: dual only)."""
    lips_from: Branch = "both"
    """Which branch's features the lips' head reads (dual body); "spec" makes lips free of noise. "frame": no branch's,
    but s itself, the audio (with its context) and the subject."""
    eyes_from: Branch = "both"
    """The same for the eyes' head; with prob: flow there is no such head."""
    head_from: Branch = "both"
    """The same for the head pose's head."""
    torso_from: Branch = "both"
    """The same for the torso's head."""
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
    """Log-mel bands given beside the speech encoder's features (nn.mel); 0 = none, as in the paper."""
    standardise: bool = False
    """Bring every channel of what is heard to unit variance over the training set; the paper does not. The rarer of
    the speech encoder's phonetic components are small, and count."""
    audio_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of what the audio's MLP reads."""
    context_layers: int = Field(default=0, ge=0)
    """Convolutions over time between the audio's MLP and the branches; 0 = none, as in the paper."""
    context_kernel: int = Field(default=5, ge=1, description="Frames of each of them; odd.")
    lip_hidden: tuple[int, ...] = (512,)
    """Hidden widths of the lips' head."""
    other_hidden: tuple[int, ...] = (256, 256)
    """Hidden widths of the eyes', head's and torso's heads."""
    head_channels: Literal[6, 7] = 7
    """7: rotation, translation and scale, as released. 6: the paper's, without scale, which stays the subject's; with
    prob: vae or another body that has heads."""
    window: int = WINDOW
    """Frames a window at inference."""
    stride: int = STRIDE
    """Frames from one window to the next at inference."""
    wav2vec: SpeechConfig = SpeechConfig()
    """The speech encoder."""
    flow: FlowConfig = FlowConfig()
    """The flow branch; unused with prob: vae."""
    blinks: bool = False
    """The flow draws open eyes, and blinks are added as events (nn.blinks); unused without a flow."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.prob == "flow" and self.body in ("dual", "prob_only"):
            if self.body != "dual":
                raise ValueError(
                    "body: prob_only needs prob: vae (the flow draws motion, it has no features for the lips)"
                )
            if self.lips_from not in ("spec", "frame"):
                raise ValueError(f"prob: flow needs lips_from: spec or frame, got {self.lips_from}")
            if self.head_channels != HEAD:
                raise ValueError(
                    f"prob: flow draws {HEAD} channels of the head, got head_channels: {self.head_channels}"
                )
        return self

    def without_initial_weights(self) -> NetworkConfig:
        """The same architecture, not reading any weights to start from: for loading a checkpoint."""
        return self.model_copy(update={"wav2vec": self.wav2vec.without_initial_weights()})


class LossConfig(Config):
    """Weights of the terms, and their units."""

    standardise: bool = True
    """Targets are standardised by the training set's statistics. False: as they are, in pixels, degrees and shares of
    scale (the paper names no such step)."""
    lips: float = Field(1.0, ge=0)
    """L1 of the lips."""
    lips_velocity: float = Field(1.0, ge=0)
    """L1 of the lips' movement from frame to frame."""
    opening: float = Field(1.0, ge=0)
    """L1 of the vertical openings of the inner lips."""
    others: float = Field(1.0, ge=0)
    """L1 of eyes, head and torso, each; unused with prob: flow."""
    others_velocity: float = Field(0.5, ge=0)
    """L1 of their movement; unused with prob: flow."""
    kl: float = Field(1e-2, ge=0)
    """Kullback-Leibler divergence of the VAE; unused elsewhere."""
    flow: float = Field(1.0, ge=0)
    """Flow matching; unused elsewhere."""
    blinks: float = Field(1.0, ge=0)
    """Likelihood of the onsets of blinks; unused without blinks: true."""

    @property
    def lips_learn(self) -> bool:
        """Whether any term teaches the lips."""
        return bool(self.lips or self.lips_velocity or self.opening)

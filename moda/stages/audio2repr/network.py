"""Stage 1 network: sound and subject to lips, eyes, head and torso in one forward pass.

method.md section 2 (the paper's dual attentions). `NetworkConfig` with its defaults is the paper's
network, 96,718,185 parameters; configs/default/audio2repr.yaml is the one this project recommends.

Dimension letters: B batch, N audio samples (16 kHz), T frames (25 fps), d model width,
P points of a group, K = 3 P channels of a group, Z latent channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from moda import checkpoint
from moda.config import Config
from moda.errors import CheckpointError
from moda.landmarks import N_EYES, N_LANDMARKS, N_LIPS, N_TORSO
from moda.nn.attention import Latent, ProbAttn, SlopeKind, SpecAttn
from moda.nn.blocks import MLP, NormKind, TemporalContext
from moda.nn.flow import FlowAttn, Solver
from moda.nn.mel import LogMel
from moda.nn.wav2vec import SpeechConfig, SpeechEncoder
from moda.normalization import Normalizer
from moda.representation import HEAD, STRIDE, WINDOW

Source = Literal["spec", "prob", "both"]

SHAPES: dict[str, tuple[int, ...]] = {"lips": (N_LIPS, 3), "eyes": (N_EYES, 3), "head": (HEAD,), "torso": (N_TORSO, 3)}
"""Shape of each group in one frame."""
CHANNELS = {name: HEAD if name == "head" else 3 * shape[0] for name, shape in SHAPES.items()}
"""K of each group: its points flattened."""
FLOW_GROUPS = ("eyes", "head", "torso")
"""What the flow draws; lips never depend on noise there."""


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
    lips_from: Source = "both"
    """Which branch's features the lips' head reads (dual body); "spec" makes lips free of noise."""
    eyes_from: Source = "both"
    """The same for the eyes' head; with prob: flow there is no such head."""
    head_from: Source = "both"
    """The same for the head pose's head."""
    torso_from: Source = "both"
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
    audio_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of what the audio's MLP reads."""
    context_layers: int = Field(default=0, ge=0)
    """Convolutions over time between the audio's MLP and the branches; 0 = none, as in the paper."""
    context_kernel: int = Field(default=5, ge=1, description="Frames of each of them; odd.")
    lip_hidden: tuple[int, ...] = (512,)
    """Hidden widths of the lips' head."""
    other_hidden: tuple[int, ...] = (256, 256)
    """Hidden widths of the eyes', head's and torso's heads."""
    window: int = WINDOW
    """Frames a window at inference."""
    stride: int = STRIDE
    """Frames from one window to the next at inference."""
    wav2vec: SpeechConfig = SpeechConfig()
    """The speech encoder."""
    flow: FlowConfig = FlowConfig()
    """The flow branch; unused with prob: vae."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.prob == "flow" and self.body in ("dual", "prob_only"):
            if self.body != "dual":
                raise ValueError(
                    "body: prob_only needs prob: vae (the flow draws motion, it has no features for the lips)"
                )
            if self.lips_from != "spec":
                raise ValueError(f"prob: flow needs lips_from: spec, got {self.lips_from}")
        return self

    def without_initial_weights(self) -> NetworkConfig:
        """The same architecture, not reading any weights to start from: for loading a checkpoint."""
        bare = self.wav2vec.model_copy(update={"pretrained": None, "init": None})
        return self.model_copy(update={"wav2vec": bare})


@dataclass(frozen=True)
class Prediction:
    """Motion in physical units: lips (B, T, 40, 3), eyes (B, T, 60, 3), head (B, T, 7), torso (B, T, 18, 3).

    latent: posterior of the VAE, for the KL term; None where there is no VAE.
    """

    lips: Tensor
    eyes: Tensor
    head: Tensor
    torso: Tensor
    latent: Latent | None = None


@dataclass(frozen=True)
class Features:
    """audio: s_a (B, T, d). subject: v_s (B, d). both: s = s_a + v_s (B, T, d)."""

    audio: Tensor
    subject: Tensor
    both: Tensor


class Audio2Repr(nn.Module):
    """Sound and subject to motion (paper, figure 2; method.md section 2).

    Takes and returns physical units; statistics are buffers in `normalizers` (lips, eyes, head,
    torso, subject), fitted by the stage before training. `latent_dim` is Z, the channels of the
    noise that `forward` wants: 0 where the network draws nothing.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d
        self.normalizers = nn.ModuleDict({name: Normalizer(*shape) for name, shape in SHAPES.items()})
        self.normalizers["subject"] = Normalizer(N_LANDMARKS, 3)
        self.wav2vec = SpeechEncoder(config.wav2vec)
        self.mel = LogMel(config.mel_bands, config.wav2vec.quiet) if config.mel_bands else None
        heard = self.wav2vec.channels + (self.mel.channels if self.mel is not None else 0)
        self.audio_dropout = nn.Dropout(config.audio_dropout)
        self.audio = MLP((heard, d, d), config.norm)  # point 2
        self.context = TemporalContext(d, config.context_layers, config.context_kernel, config.audio_dropout)
        self.subject = MLP((3 * N_LANDMARKS, d, d, d), config.norm)  # point 3

        self.spec: SpecAttn | None = None
        self.prob: ProbAttn | None = None
        self.flow: FlowAttn | None = None
        self.lstm: nn.LSTM | None = None
        size = {"heads": config.heads, "layers": config.layers, "ffn": config.ffn}
        if config.body in ("dual", "spec_only"):
            self.spec = SpecAttn(
                d, **size, dropout=config.dropout, period=config.period, slopes=config.slopes
            )  # point 5
        if config.body == "lstm":
            self.lstm = nn.LSTM(d, 2 * d, config.layers, batch_first=True)
        elif config.body in ("dual", "prob_only") and config.prob == "vae":
            self.prob = ProbAttn(d, **size, dropout=config.dropout)  # point 6
        elif config.body == "dual":
            self.flow = _flow(config)
        self.latent_dim = d if self.prob is not None else self.flow.latent_dim if self.flow is not None else 0

        drawn = FLOW_GROUPS if self.flow is not None else ()
        self.heads = nn.ModuleDict()  # points 7 and 8
        for name, k in CHANNELS.items():
            if name not in drawn:
                hidden = config.lip_hidden if name == "lips" else config.other_hidden
                self.heads[name] = MLP((self._head_width(name), *hidden, k), config.norm)
        if config.wav2vec.init is not None:
            _start_speech_encoder(self.wav2vec, Path(config.wav2vec.init))

    def forward(self, wave: Tensor, subject: Tensor, frames: int, noise: Tensor | None = None) -> Prediction:
        """Wave (B, N) in -1..1, subject (B, 478, 3), noise (B, T, Z) standard normal -> Prediction.

        The same noise gives the same motion. Noise may be left out only where `latent_dim` is 0.
        """
        return self.predict(self.features(wave, subject, frames), noise)

    def features(self, wave: Tensor, subject: Tensor, frames: int) -> Features:
        """What all branches read: points 1 to 4 of method.md section 2."""
        heard = self.wav2vec(wave, frames)
        if self.mel is not None:
            heard = torch.cat((heard, self.mel(wave, frames)), dim=-1)
        audio = self.context(self.audio(self.audio_dropout(heard)))
        v_s = self.subject(self.normalizer("subject").normalize(subject).flatten(1))
        return Features(audio, v_s, audio + v_s[:, None])

    def predict(self, features: Features, noise: Tensor | None = None) -> Prediction:
        """Points 5 to 8: features to motion; the flow is solved here."""
        if noise is None and self.latent_dim:
            raise ValueError(f"this network draws motion: give noise of shape (B, T, {self.latent_dim})")
        sources, latent = self._sources(features, noise)
        groups = {name: self._head(name, sources) for name in self.heads}
        if self.flow is not None and noise is not None:
            x = self.flow.sample(noise, features.both, self.config.flow.steps, self.config.flow.solver)
            groups |= {name: values.unflatten(-1, SHAPES[name]) for name, values in self.flow.decode(x).items()}
        return Prediction(groups["lips"], groups["eyes"], groups["head"], groups["torso"], latent)

    def predict_lips(self, features: Features) -> Tensor:
        """Lips alone, (B, T, 40, 3), without solving the flow: for its training (prob: flow only)."""
        sources, _ = self._sources(features, None)
        return self._head("lips", sources)

    def flow_loss(
        self, features: Features, eyes: Tensor, head: Tensor, torso: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Flow-matching loss of true motion in physical units (shapes as in `Prediction`); prob: flow only."""
        if self.flow is None:
            raise ValueError("flow_loss needs prob: flow")
        x1 = self.flow.encode({"eyes": eyes, "head": head, "torso": torso})
        return self.flow.loss(x1, features.both, generator)

    def normalizer(self, name: str) -> Normalizer:
        """Statistics of "lips", "eyes", "head", "torso" or "subject", shaped as one frame of it."""
        found = self.normalizers[name]
        assert isinstance(found, Normalizer)
        return found

    def _sources(self, features: Features, noise: Tensor | None) -> tuple[dict[str, Tensor], Latent | None]:
        """Outputs of the branches by name (s_sa "spec", s_pa "prob"; the LSTM is "both"), and s "frame"."""
        sources: dict[str, Tensor] = {"frame": features.both}
        latent = None
        if self.lstm is not None:
            sources["both"] = self.lstm(features.both)[0]
        if self.spec is not None:
            sources["spec"] = self.spec(features.both, features.audio)
        if self.prob is not None and noise is not None:
            sources["prob"], latent = self.prob(features.audio, features.subject, noise)
        if "spec" in sources and "prob" in sources:
            sources["both"] = torch.cat((sources["spec"], sources["prob"]), dim=-1)  # point 7
        return sources, latent

    def _reads(self, name: str) -> str:
        """Which of `_sources` the head of a group reads: the configured one where both branches exist."""
        fixed = {"lstm": "both", "spec_only": "spec", "prob_only": "prob", "none": "frame"}
        if self.config.body in fixed:
            return fixed[self.config.body]
        wanted = {
            "lips": self.config.lips_from,
            "eyes": self.config.eyes_from,
            "head": self.config.head_from,
            "torso": self.config.torso_from,
        }
        return wanted[name]

    def _head_width(self, name: str) -> int:
        return 2 * self.config.d if self._reads(name) == "both" else self.config.d

    def _head(self, name: str, sources: dict[str, Tensor]) -> Tensor:
        values: Tensor = self.heads[name](sources[self._reads(name)])
        return self.normalizer(name).denormalize(values.unflatten(-1, SHAPES[name]))


def _flow(config: NetworkConfig) -> FlowAttn:
    kept = {"eyes": config.flow.eyes, "head": config.flow.head, "torso": config.flow.torso}
    return FlowAttn(
        {name: (CHANNELS[name], kept[name], name == "head") for name in FLOW_GROUPS},
        config.d,
        width=config.d,
        layers=config.flow.layers,
        heads=config.flow.heads,
        ffn=config.flow.ffn,
        kernel=config.flow.kernel,
        dropout=config.flow.dropout,
    )


def _start_speech_encoder(encoder: SpeechEncoder, path: Path) -> None:
    """Load the weights under "wav2vec." of a checkpoint of stage "speech"."""
    prefix = "wav2vec."
    stored = checkpoint.load(path, stage="speech").weights
    weights = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    if not weights:
        raise CheckpointError(f"no weights named '{prefix}...' in {path}: not a checkpoint of a speech encoder")
    checkpoint.load_weights(encoder, weights, source=str(path))


def build(config: NetworkConfig) -> Audio2Repr:
    """The network for inference: its weights are to be loaded, so none to start from are read."""
    return Audio2Repr(config.without_initial_weights())

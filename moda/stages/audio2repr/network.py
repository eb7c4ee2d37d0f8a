"""Stage 1 network: audio and subject to lips, eyes, head and torso in one forward pass.

docs/method.md, section 2 (the paper's dual attentions). `NetworkConfig` with its defaults is the paper's
network, 96,718,185 parameters; configs/default/audio2repr.yaml is the one this project recommends.

Dimension letters: B batch, N audio samples (16 kHz), T frames (25 fps), d model width,
P points of a group, K = 3 P channels of a group, Z latent channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moda import checkpoint
from moda.config import differences, parse, to_dict
from moda.errors import CheckpointError
from moda.landmarks import N_LANDMARKS
from moda.locations import find_checkpoint
from moda.nn.attention import Latent, ProbAttn, SpecAttn
from moda.nn.blinks import BlinkProcess
from moda.nn.blocks import MLP, TemporalContext
from moda.nn.flow import FlowAttn
from moda.nn.mel import LogMel
from moda.nn.wav2vec import SpeechConfig, SpeechEncoder
from moda.normalization import Normalizer
from moda.representation import HEAD, SHAPES
from moda.stages.audio2repr.config import FlowConfig, NetworkConfig

__all__ = ["CHANNELS", "Audio2Repr", "Features", "FlowConfig", "NetworkConfig", "Prediction", "build"]

CHANNELS = {name: HEAD if name == "head" else 3 * shape[0] for name, shape in SHAPES.items()}
"""K of each group: its points flattened."""
ENCODER, ENCODER_FROM = "wav2vec.", ("speech", "audio2repr")
"""What the names of a speech encoder's weights begin with, and the stages whose checkpoints hold one."""
FLOW_GROUPS = ("eyes", "head", "torso")
"""What the flow draws; lips never depend on noise there."""


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
    """audio: s_a (B, T, d). subject: v_s (B, d). both: s = s_a + v_s (B, T, d). mesh: the subject's (B, 478, 3)."""

    audio: Tensor
    subject: Tensor
    both: Tensor
    mesh: Tensor

    def of(self, index: int) -> Features:
        """Those of one item of the batch, B = 1."""
        one = slice(index, index + 1)
        return Features(self.audio[one], self.subject[one], self.both[one], self.mesh[one])


class Audio2Repr(nn.Module):
    """Audio and subject to motion (paper, figure 2; docs/method.md, section 2).

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
        audio_features = self.wav2vec.channels + (self.mel.channels if self.mel is not None else 0)
        if config.standardise:
            self.normalizers["audio_features"] = Normalizer(audio_features)
        self.audio_dropout = nn.Dropout(config.audio_dropout)
        self.audio = MLP((audio_features, d, d), config.norm)  # point 2
        self.context = TemporalContext(d, config.context_layers, config.context_kernel, config.audio_dropout)
        self.subject = MLP((3 * N_LANDMARKS, d, d, d), config.norm)  # point 3

        self.spec: SpecAttn | None = None
        self.prob: ProbAttn | None = None
        self.flow: FlowAttn | None = None
        self.lstm: nn.LSTM | None = None
        size = {"heads": config.heads, "layers": config.layers, "ffn": config.ffn}
        unread = config.body == "dual" and config.prob == "flow" and config.lips_from == "frame"
        if config.body in ("dual", "spec_only") and not unread:
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
                k = config.head_channels if name == "head" else k
                self.heads[name] = MLP((self._head_width(name), *hidden, k), config.norm)
        self.blinks = BlinkProcess(d) if config.blinks and self.flow is not None else None
        self.latent_dim += self.blinks.noise_dim if self.blinks is not None else 0  # behind the flow's
        if config.wav2vec.init is not None:
            _start_speech_encoder(self.wav2vec, find_checkpoint(config.wav2vec.init))

    def forward(self, wave: Tensor, subject: Tensor, frames: int, noise: Tensor | None = None) -> Prediction:
        """Wave (B, N) in -1..1, subject (B, 478, 3), noise (B, T, Z) standard normal -> Prediction.

        The same noise gives the same motion. Noise may be left out only where `latent_dim` is 0.
        """
        return self.predict(self.features(wave, subject, frames), noise)

    def features(self, wave: Tensor, subject: Tensor, frames: int) -> Features:
        """What all branches read: points 1 to 4 of docs/method.md, section 2."""
        audio_features = self.encode_audio(wave, frames)
        if "audio_features" in self.normalizers:
            audio_features = self.normalizer("audio_features").normalize(audio_features)
        audio = self.context(self.audio(self.audio_dropout(audio_features)))
        v_s = self.subject(self.normalizer("subject").normalize(subject).flatten(1))
        return Features(audio, v_s, audio + v_s[:, None], subject)

    def encode_audio(self, wave: Tensor, frames: int) -> Tensor:
        """The speech encoder's features and log-mel, before they are standardised: (B, N), T -> (B, T, channels)."""
        audio_features: Tensor = self.wav2vec(wave, frames)
        return audio_features if self.mel is None else torch.cat((audio_features, self.mel(wave, frames)), dim=-1)

    def predict(self, features: Features, noise: Tensor | None = None) -> Prediction:
        """Points 5 to 8: features to motion; the flow is solved here."""
        if noise is None and self.latent_dim:
            raise ValueError(f"this network draws motion: give noise of shape (B, T, {self.latent_dim})")
        sources, latent = self._sources(features, noise)
        groups = {name: self._head(name, sources) for name in self.heads}
        if self.flow is not None and noise is not None:
            start = noise[..., : self.flow.latent_dim]
            x = self.flow.sample(start, features.both, self.config.flow.steps, self.config.flow.solver)
            groups |= {name: values.unflatten(-1, SHAPES[name]) for name, values in self.flow.decode(x).items()}
            if self.blinks is not None:
                closure = self.blinks.draw(features.both, noise[..., self.flow.latent_dim :])
                groups["eyes"] = self.blinks.close(groups["eyes"], features.mesh, closure)
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

    def blink_loss(self, features: Features, onsets: Tensor, seen: Tensor, usual: Tensor) -> Tensor:
        """Likelihood of true onsets, see `BlinkProcess.loss`; blinks: true only.

        The features stay as they are: a few hundred blinks have nothing to teach them.
        """
        if self.blinks is None:
            raise ValueError("blink_loss needs blinks: true and prob: flow")
        return self.blinks.loss(features.both.detach(), onsets, seen, usual)

    def normalizer(self, name: str) -> Normalizer:
        """Statistics of "lips", "eyes", "head", "torso", "subject" or "audio_features", shaped as one frame of it."""
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
        values = F.pad(values, (0, CHANNELS[name] - values.shape[-1]))  # no scale among six channels of the head
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
    """Load the speech encoder of a checkpoint of stage "speech" or of this stage; it must be of the same kind."""
    stored = checkpoint.load(path)
    if stored.stage not in ENCODER_FROM:
        raise CheckpointError(
            f"{path} is of stage '{stored.stage}', wanted a speech encoder: {', '.join(ENCODER_FROM)}"
        )
    found = checkpoint.section(stored, "network", source=str(path)).get("wav2vec")
    if not isinstance(found, dict):
        raise CheckpointError(f"the checkpoint {path} does not say what speech encoder it holds; train it again")
    settings = parse(SpeechConfig, found, source=str(path), section="network.wav2vec")
    ours = encoder.config
    differing = [
        f"{name} is {theirs!r}, here {here!r}"
        for name, theirs, here in differences(to_dict(settings), to_dict(ours))
        if name not in SpeechConfig.NOT_ARCHITECTURE
    ]
    if differing:
        raise CheckpointError(f"network.wav2vec.init: {path} holds another speech encoder: {'; '.join(differing)}")
    weights = {name.removeprefix(ENCODER): value for name, value in stored.weights.items() if name.startswith(ENCODER)}
    checkpoint.load_weights(encoder, weights, source=str(path))


def build(config: NetworkConfig) -> Audio2Repr:
    """The network for inference: its weights are to be loaded, so none to start from are read."""
    return Audio2Repr(config.without_initial_weights())

"""What both networks of stage 1 share: from audio and subject to features, and the heads.

Dimension letters, here and in paper.py and flow.py: B batch, N audio samples (16 kHz), T frames (25 fps), d model
width, P points of a group, K = 3 P channels of a group, Z channels of the noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
from moda.nn.attention import Latent, SpecAttn
from moda.nn.blocks import MLP, TemporalContext
from moda.nn.mel import LogMel
from moda.nn.wav2vec import SpeechConfig, SpeechEncoder, speech_encoder
from moda.nn.whisper import WINDOW_SAMPLES, RecordingFeatures, WhisperEncoder
from moda.normalization import Normalizer
from moda.representation import HEAD, SHAPES
from moda.stages.audio2repr.config import Audio2ReprConfig

CHANNELS = {name: HEAD if name == "head" else 3 * shape[0] for name, shape in SHAPES.items()}
"""K of each group: its points flattened."""
ENCODER_PREFIX, ENCODER_STAGES = "wav2vec.", ("speech", "audio2repr")
"""Prefix of the names of a speech encoder's weights, and the stages whose checkpoints hold one."""


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
    """audio: s_a (B, T, d). subject: v_s (B, d). both: s = s_a + v_s (B, T, d). mesh: the subject's (B, 478, 3).

    turning: (B,) degrees by which the person's head turns (`kind: flow` with liveliness), NaN where that is not known;
    None: as configured.
    """

    audio: Tensor
    subject: Tensor
    both: Tensor
    mesh: Tensor
    turning: Tensor | None = None

    def of(self, index: int) -> Features:
        """Those of one item of the batch, B = 1."""
        one = slice(index, index + 1)
        turning = None if self.turning is None else self.turning[one]
        return Features(self.audio[one], self.subject[one], self.both[one], self.mesh[one], turning)


class Audio2Repr(ABC, nn.Module):
    """Audio and subject to motion, all frames in one forward pass (paper, section 3.1; docs/method.md, section 2).

    Inputs and outputs are in physical units; statistics are buffers in `normalizers` (lips, eyes, head, torso, subject
    and perhaps audio_features), fitted by the stage before training. `latent_dim` is Z, the channels of the noise:
    0 where the network is deterministic.
    """

    heads: nn.ModuleDict

    def __init__(self, config: Audio2ReprConfig) -> None:
        super().__init__()
        d = config.d
        self.spec: SpecAttn | None = None
        self.latent_dim = 0
        self.normalizers = nn.ModuleDict({name: Normalizer(*shape) for name, shape in SHAPES.items()})
        self.normalizers["subject"] = Normalizer(N_LANDMARKS, 3)
        self.wav2vec = speech_encoder(config.wav2vec)
        self.mel = LogMel(config.mel_bands, config.wav2vec.quiet) if config.mel_bands else None
        audio_features = self.wav2vec.channels + (self.mel.channels if self.mel is not None else 0)
        if config.standardise:
            self.normalizers["audio_features"] = Normalizer(audio_features)
        self.audio_dropout = nn.Dropout(config.audio_dropout)
        self.audio = MLP((audio_features, d, d), config.norm)  # point 2 of docs/method.md, section 2
        self.context = TemporalContext(d, config.context_layers, config.context_kernel, config.audio_dropout)
        self.subject = MLP((3 * N_LANDMARKS, d, d, d), config.norm)  # point 3
        if config.wav2vec.init is not None:
            _start_speech_encoder(self.wav2vec, find_checkpoint(config.wav2vec.init))

    def forward(
        self, wave: Tensor, subject: Tensor, frames: int, noise: Tensor | None = None, speech: Tensor | None = None
    ) -> Prediction:
        """Wave (B, N) in -1..1, subject (B, 478, 3), noise (B, T, Z) standard normal -> Prediction.

        speech: the speech encoder's features (B, T, channels), where they are at hand (`listen`). The same noise
        gives the same motion. Noise may be left out only where `latent_dim` is 0.
        """
        return self.predict(self.features(wave, subject, frames, speech), noise)

    def listen(self, wave: Tensor) -> RecordingFeatures | None:
        """The speech encoder's features of a whole recording (N,); None if they depend on the window they are in."""
        return RecordingFeatures(self.wav2vec, wave) if isinstance(self.wav2vec, WhisperEncoder) else None

    @property
    def heard_samples(self) -> int:
        """Samples that `hear` takes; 0 where the features of a window are computed from its own samples."""
        return WINDOW_SAMPLES if isinstance(self.wav2vec, WhisperEncoder) else 0

    def hear(self, window: Tensor, frames: int, ahead: int) -> Tensor:
        """The speech encoder's features of `frames` that end `ahead` frames before a window of samples (N,) ends."""
        assert isinstance(self.wav2vec, WhisperEncoder)
        return self.wav2vec.latest(window, frames, ahead)

    def features(self, wave: Tensor, subject: Tensor, frames: int, speech: Tensor | None = None) -> Features:
        """Points 1 to 4 of docs/method.md, section 2: wave (B, N), subject (B, 478, 3), T -> s_a, v_s and s."""
        audio_features = self.encode_audio(wave, frames, speech)
        if "audio_features" in self.normalizers:
            audio_features = self.normalizer("audio_features").normalize(audio_features)
        audio = self.context(self.audio(self.audio_dropout(audio_features)))
        v_s = self.subject(self.normalizer("subject").normalize(subject).flatten(1))
        return Features(audio, v_s, audio + v_s[:, None], subject)

    def encode_audio(self, wave: Tensor, frames: int, speech: Tensor | None = None) -> Tensor:
        """The speech encoder's features and log-mel, before they are standardised: (B, N), T -> (B, T, channels)."""
        audio_features: Tensor = self.wav2vec(wave, frames) if speech is None else speech
        return audio_features if self.mel is None else torch.cat((audio_features, self.mel(wave, frames)), dim=-1)

    def predict(self, features: Features, noise: Tensor | None = None) -> Prediction:
        """Points 5 to 8: features and noise (B, T, Z) to motion."""
        if self.latent_dim and noise is None:
            raise ValueError(f"this network is stochastic: it needs noise of shape (B, T, {self.latent_dim})")
        return self._predict(features, noise)

    @abstractmethod
    def _predict(self, features: Features, noise: Tensor | None) -> Prediction:
        """`predict`; noise is given where `latent_dim` is not 0."""

    @property
    def lips_mean(self) -> Tensor:
        """(40, 3) mean of the lips over the training set, pixels; 0 where targets are not standardised."""
        return self.normalizer("lips").mean

    def normalizer(self, name: str) -> Normalizer:
        """Statistics of "lips", "eyes", "head", "torso", "subject" or "audio_features", shaped as one frame of it."""
        found = self.normalizers[name]
        assert isinstance(found, Normalizer)
        return found

    def _head(self, name: str, source: Tensor) -> Tensor:
        """Point 8: the MLP of a group on (B, T, channels) -> the group in physical units (B, T, ...)."""
        values: Tensor = self.heads[name](source)
        values = F.pad(values, (0, CHANNELS[name] - values.shape[-1]))  # no scale among six channels of the head
        return self.normalizer(name).denormalize(values.unflatten(-1, SHAPES[name]))


def spec_attention(config: Audio2ReprConfig) -> SpecAttn:
    """Point 5: SpecAttn of these settings."""
    return SpecAttn(
        config.d,
        heads=config.heads,
        layers=config.layers,
        ffn=config.ffn,
        dropout=config.dropout,
        period=config.period,
        slopes=config.slopes,
    )


def _start_speech_encoder(encoder: SpeechEncoder | WhisperEncoder, path: Path) -> None:
    """Load the speech encoder of a checkpoint of stage "speech" or of this stage; its architecture must be the same."""
    stored = checkpoint.load(path)
    if stored.stage not in ENCODER_STAGES:
        raise CheckpointError(
            f"{path} is of stage '{stored.stage}', wanted a speech encoder: {', '.join(ENCODER_STAGES)}"
        )
    found = checkpoint.section(stored, "network", source=str(path)).get("wav2vec")
    if not isinstance(found, dict):
        raise CheckpointError(
            f"the checkpoint {path} does not state the settings of its speech encoder; train it again"
        )
    settings = parse(SpeechConfig, found, source=str(path), section="network.wav2vec")
    differing = [
        f"{name} is {theirs!r}, here {here!r}"
        for name, theirs, here in differences(to_dict(settings), to_dict(encoder.config))
        if name not in SpeechConfig.NOT_ARCHITECTURE
    ]
    if differing:
        raise CheckpointError(f"network.wav2vec.init: {path} holds another speech encoder: {'; '.join(differing)}")
    weights = {
        name.removeprefix(ENCODER_PREFIX): value
        for name, value in stored.weights.items()
        if name.startswith(ENCODER_PREFIX)
    }
    checkpoint.load_weights(encoder, weights, source=str(path))

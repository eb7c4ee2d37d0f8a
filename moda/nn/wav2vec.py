"""Speech encoder: wav2vec 2.0 resampled to video frames (paper, section 3.1).

Dimension letters: B batch, N audio samples at 16 kHz, L wav2vec frames (50 Hz), T video frames, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moda.nn.mel import MelFront, normalise_wave
from moda.nn.settings import SpeechConfig
from moda.nn.wav2vec_layers import Wav2Vec
from moda.nn.whisper import WhisperEncoder

__all__ = ["SpeechConfig", "SpeechEncoder", "speech_encoder"]

MIN_SAMPLES = 400
"""Receptive field of the CNN: shorter audio is padded with silence to this many samples."""


class SpeechEncoder(nn.Module):
    """Waveform to features at the video rate: (B, N), T -> (B, T, channels).

    The CNN's output is interpolated linearly (ends aligned) from 50 Hz to exactly T frames before
    feature projection and transformer (docs/method.md, section 2, point 1).

    With `config.pretrained`, weights are loaded from there, and not initialised again afterwards; on the device
    "meta", which holds no values, none are read. Raises `CheckpointError` if they cannot be loaded, `ConfigError` if
    their sizes differ.
    """

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.config = config
        channels = (config.conv_dim,) * 7 if isinstance(config.conv_dim, int) else config.conv_dim
        self.model = Wav2Vec(
            *(channels, config.hidden, config.layers, config.heads, config.ffn),
            layer_norm=config.conv_norm == "layer",
            bias=config.conv_bias,
            pre_norm=config.pre_norm,
            dropout=config.dropout,
            layerdrop=config.layerdrop,
            masks=config.spec_augment,
        )
        if config.pretrained is not None and torch.get_default_device().type != "meta":
            from moda.nn.pretrained import load_wav2vec  # loads transformers

            self.model.load_state_dict(load_wav2vec(config))
        self.front: MelFront | None = None
        if config.front == "mel":
            self.front = MelFront(config.mel_bands, channels[-1], config.quiet)
            self.model.feature_extractor = nn.Identity()
        elif config.freeze_cnn or config.freeze:
            self.model.feature_extractor.requires_grad_(False)
        self.phonetic = nn.Linear(config.hidden, config.phonetic) if config.phonetic else None
        if config.freeze:
            self.requires_grad_(False)

    @property
    def channels(self) -> int:
        """Channels of the features."""
        return self.config.phonetic or self.config.hidden

    def forward(self, wave: Tensor, frames: int) -> Tensor:
        return self.features_of(self.hidden(wave, frames))

    def features_of(self, hidden: Tensor) -> Tensor:
        """The features, from what `hidden` returned: (B, T, hidden) -> (B, T, channels)."""
        if self.phonetic is None:
            return hidden
        with _learning(not self.config.freeze):
            out: Tensor = self.phonetic(hidden)
        return out

    def hidden(self, wave: Tensor, frames: int) -> Tensor:
        """The transformer's output: (B, N), T -> (B, T, hidden)."""
        with _learning(not self.config.freeze):
            features = self._convolved(wave, frames) if self.front is None else self.front(wave, frames)
            return self._transform(features, frames)

    def _convolved(self, wave: Tensor, frames: int) -> Tensor:
        """wav2vec2's CNN, resampled: (B, N) -> (B, C, T)."""
        wave = normalise_wave(wave, self.config.quiet)
        if wave.shape[-1] < MIN_SAMPLES:
            wave = F.pad(wave, (0, MIN_SAMPLES - wave.shape[-1]))
        with _learning(not self.config.freeze_cnn):
            features: Tensor = self.model.feature_extractor(wave)  # (B, C, L)
        return F.interpolate(features, size=frames, mode="linear", align_corners=True)

    def _transform(self, features: Tensor, frames: int) -> Tensor:
        """Feature projection and transformer: (B, C, T) -> (B, T, hidden)."""
        hidden: Tensor = self.model.feature_projection(features.transpose(1, 2))
        if self.training and self.config.spec_augment:
            hidden = self.model.masked(hidden)
        out: Tensor = self.model.encoder(hidden)
        return out


def speech_encoder(config: SpeechConfig) -> SpeechEncoder | WhisperEncoder:
    """The speech encoder of these settings."""
    return WhisperEncoder(config) if config.front == "whisper" else SpeechEncoder(config)


def _learning(wanted: bool) -> torch.set_grad_enabled:
    """Gradients if wanted and enabled: a trainer may switch requires_grad of a whole network on and off, which must
    not unfreeze this one.
    """
    return torch.set_grad_enabled(torch.is_grad_enabled() and wanted)

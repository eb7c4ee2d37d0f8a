"""Speech encoder: wav2vec 2.0 resampled to video frames.

Dimension letters: B batch, N audio samples at 16 kHz, L wav2vec frames (50 Hz), T video frames, C channels.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

from moda.config import Config
from moda.nn.mel import MelFront
from moda.nn.pretrained import load_wav2vec
from moda.nn.waveform import normalise_wave

MIN_SAMPLES = 400
"""Receptive field of the CNN: shorter sound is padded with silence to this many samples."""


class SpeechConfig(Config):
    """Size and start of the speech encoder. The defaults are wav2vec2-base (94,371,712 parameters)."""

    hidden: int = 768
    """Width of the transformer and of the output."""
    layers: int = 12
    """Transformer layers."""
    heads: int = 12
    """Attention heads a layer."""
    ffn: int = 3072
    """Width of the feed-forward part."""
    front: Literal["conv", "mel"] = "conv"
    """What the transformer reads: wav2vec2's CNN over the samples, or convolutions over log-mel spectra, which cost
    a twentieth and need far less speech to learn from."""
    mel_bands: int = Field(default=80, ge=1)
    """Bands of the spectra with front: mel; the width of its convolutions is the last of `conv_dim`."""
    phonetic: int = Field(default=0, ge=0)
    """Features given on are a projection to so many channels, which the speech stage teaches to be the principal
    components of a phoneme teacher's log posteriors; 0 = the transformer's own output, as in the paper."""
    conv_dim: int | tuple[int, int, int, int, int, int, int] = 512
    """Channels of the seven convolutions: one number for all, or one each. The first run at 3200, 1600 and 800 Hz
    and take most of the time: narrow ones there make the CNN several times cheaper."""
    conv_norm: Literal["group", "layer"] = "group"
    """"group": one norm over the whole time axis after the first convolution (wav2vec2-base). "layer": a
    norm of each time step after every convolution: what a frame gets does not depend on the window around it."""
    conv_bias: bool = False
    """Bias in the convolutions. Wanted with "layer": without it a step's norm would hide how quiet it is."""
    pre_norm: bool = False
    """Norm before attention and feed-forward (trains more easily from random weights); base has it after."""
    dropout: float = 0.1
    """Dropout of hidden states, attention, activations' outputs."""
    layerdrop: float = 0.1
    """Chance of skipping a transformer layer in training."""
    spec_augment: bool = True
    """SpecAugment's time masks (probability 0.05, 10 steps) on the resampled features; in training only."""
    freeze_cnn: bool = True
    """Keep the CNN as it is (the paper does, with pretrained weights). Training refuses it with random weights."""
    freeze: bool = False
    """Keep the whole encoder as it is, the transformer too: for little footage of few people. The same holds."""
    quiet: float = 3.16e-4
    """RMS under which sound counts as silence: the waveform is divided by sqrt(variance + quiet^2).
    3.16e-4 squared is the 1e-7 of wav2vec2's own feature extractor."""
    pretrained: str | None = None
    """Folder or Hugging Face name of a `transformers` wav2vec2 whose weights to start from; sizes must agree. A name is
    looked for in the local cache, then fetched."""
    init: str | None = None
    """A checkpoint of stage "speech", or of stage 1, of this project whose speech encoder to start from."""

    NOT_ARCHITECTURE: ClassVar[frozenset[str]] = frozenset(
        {"dropout", "layerdrop", "spec_augment", "freeze_cnn", "freeze", "pretrained", "init"}
    )
    """Settings in which an encoder may differ from the one whose weights it takes."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.front == "mel" and self.pretrained is not None:
            raise ValueError("pretrained weights of wav2vec2 need front: conv")
        return self

    def frozen_at_random(self) -> str | None:
        """Why this cannot be trained: what it would keep as it is although no weights are named; None if nothing.

        `pretrained` has no weights for the `phonetic` projection, which `freeze` would keep too.
        """
        if self.init is not None:
            return None
        named = self.pretrained is not None
        if self.freeze and named and self.phonetic:
            return "freeze: true keeps the phonetic projection, for which 'pretrained' has no weights"
        frozen = [name for name in ("freeze", "freeze_cnn") if getattr(self, name)]
        return f"{' and '.join(frozen)}: true with random weights" if frozen and not named else None

    def without_initial_weights(self) -> SpeechConfig:
        """The same encoder, not reading any weights to start from: its own are to be loaded."""
        return self.model_copy(update={"pretrained": None, "init": None})

    def transformers_config(self) -> Wav2Vec2Config:
        """The same as `transformers` understands it; kernels and strides are wav2vec2's (50 Hz)."""
        return Wav2Vec2Config(
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.ffn,
            conv_dim=(self.conv_dim,) * 7 if isinstance(self.conv_dim, int) else self.conv_dim,
            feat_extract_norm=self.conv_norm,
            conv_bias=self.conv_bias,
            do_stable_layer_norm=self.pre_norm,
            hidden_dropout=self.dropout,
            attention_dropout=self.dropout,
            layerdrop=self.layerdrop,
            apply_spec_augment=self.spec_augment,
            mask_time_prob=0.05 if self.spec_augment else 0.0,
        )


class SpeechEncoder(nn.Module):
    """Waveform to features at the video rate: (B, N), T -> (B, T, channels).

    The CNN's output is interpolated linearly (ends aligned) from 50 Hz to exactly T frames before
    feature projection and transformer (docs/method.md, section 2, point 1).

    With `config.pretrained`, weights come from there and nothing touches them afterwards; on the device "meta", which
    holds no values, none are read. Raises `CheckpointError` if they cannot be loaded, `ConfigError` if their sizes
    differ.
    """

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.config = config
        wanted = config.transformers_config()
        read = config.pretrained is not None and torch.get_default_device().type != "meta"
        self.model = load_wav2vec(str(config.pretrained), wanted) if read else Wav2Vec2Model(wanted)
        self.front: MelFront | None = None
        if config.front == "mel":
            self.front = MelFront(config.mel_bands, self.model.config.conv_dim[-1], config.quiet)
            self.model.feature_extractor = nn.Identity()
        elif config.freeze_cnn or config.freeze:
            self.model.freeze_feature_encoder()
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
        """What is given on, from what `hidden` returned: (B, T, hidden) -> (B, T, channels)."""
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
        hidden: Tensor = self.model.feature_projection(features.transpose(1, 2))[0]  # (B, T, hidden)
        if self.training and self.config.spec_augment and frames > self.model.config.mask_time_length:
            hidden = self.model._mask_hidden_states(hidden.clone())
        out: Tensor = self.model.encoder(hidden).last_hidden_state
        return out


def _learning(wanted: bool) -> torch.set_grad_enabled:
    """Gradients if they are wanted and on: a trainer may switch requires_grad of a whole network on and off, and
    frozen must not hang on it.
    """
    return torch.set_grad_enabled(torch.is_grad_enabled() and wanted)

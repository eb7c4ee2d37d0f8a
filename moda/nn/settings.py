"""Settings of networks. Light to import: commands read them before they load any network."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from moda.config import Config
from moda.locations import find_checkpoint

NormKind = Literal["batch", "layer", "none"]
"""Norms of an MLP."""
SlopeKind = Literal["faceformer", "single"]
"""Slopes of M_T: 2^(-2k) a head, or the released code's 1/256."""
Solver = Literal["euler", "heun"]
"""Of the flow: one evaluation a step, or two."""
UNET_LEVELS = 8
"""Levels of the paper's renderer, each half as large as the one before."""


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
    front: Literal["conv", "mel", "whisper"] = "conv"
    """Input of the transformer: wav2vec2's CNN over the samples, or convolutions over log-mel spectra, which cost
    a twentieth and need far less speech to train. "whisper": an encoder of its own form (nn.whisper), of which
    `hidden`, `layers`, `heads`, `ffn`, `read`, `freeze` and `quiet` are read."""
    read: tuple[int, ...] = ()
    """Layers of front: whisper whose outputs are the features, side by side; 0 is what enters the first."""
    mel_bands: int = Field(default=80, ge=1)
    """Bands of the spectra with front: mel; the width of its convolutions is the last of `conv_dim`."""
    phonetic: int = Field(default=0, ge=0)
    """Channels of a projection of the features, trained by the speech stage to be the principal components of a
    phoneme teacher's log posteriors; 0 = the transformer's own output, as in the paper."""
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
    """Keep the whole encoder as it is, the transformer too: for little footage of few people. Refused likewise."""
    quiet: float = 3.16e-4
    """RMS under which audio counts as silence: the waveform is divided by sqrt(variance + quiet^2).
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
        if self.front != "conv" and self.pretrained is not None:
            raise ValueError("pretrained weights of wav2vec2 need front: conv")
        if (self.front == "whisper") != bool(self.read):
            raise ValueError("read: the layers whose outputs are the features go with front: whisper, and only with it")
        if self.front == "whisper":
            if list(self.read) != sorted({*self.read}) or self.read[0] < 0 or self.read[-1] != self.layers:
                raise ValueError(f"read is {list(self.read)}, wanted rising numbers, the last of them that of 'layers'")
            if self.phonetic:
                raise ValueError("front: whisper has no phonetic projection: phonetic: 0")
        return self

    def frozen_at_random(self) -> str | None:
        """Why this cannot be trained: what would stay at random weights, as none are named; None if nothing.

        `pretrained` has no weights for the `phonetic` projection, which `freeze` would keep too.
        """
        if self.init is not None:
            return None
        named = self.pretrained is not None
        if self.freeze and named and self.phonetic:
            return "freeze: true keeps the phonetic projection, for which 'pretrained' has no weights"
        frozen = [name for name in ("freeze", "freeze_cnn") if getattr(self, name)]
        return f"{' and '.join(frozen)}: true with random weights" if frozen and not named else None

    def check_files(self) -> None:
        if self.init is not None:
            find_checkpoint(self.init)

    def without_initial_weights(self) -> SpeechConfig:
        """The same encoder, not reading any weights to start from: its own are to be loaded."""
        return self.model_copy(update={"pretrained": None, "init": None})


class LipSyncConfig(Config):
    """Size of the lip-sync network (nn.landmark_sync)."""

    channels: int = 64
    """Width of both towers."""
    embedding: int = 16
    """Length of an embedding."""
    components: int = 8
    """Principal components of the lips."""
    bands: int = 80
    """Mel bands."""
    quiet: float = 0.01
    """RMS under which audio counts as silence, as in the other networks."""
    dropout: float = 0.2
    """Dropout of whole channels, of the input and after every block."""

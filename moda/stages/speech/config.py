"""Settings of the speech stage."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from moda.config import Config
from moda.nn.settings import SpeechConfig


class NetworkConfig(Config):
    """The encoder, and the sizes of its targets."""

    wav2vec: SpeechConfig
    """Must equal `network.wav2vec` of the stage-1 configuration that will start from these weights."""
    symbols: int = 191
    """Phoneme symbols of the teacher, its blank included and last."""
    mels: int = 80
    """Mel bands of the second head."""

    @model_validator(mode="after")
    def _own_start(self) -> Self:
        if self.wav2vec.init is not None:
            raise ValueError(
                "wav2vec.init is read by stage 1; here the run's own `init` names a checkpoint to start from"
            )
        if self.wav2vec.front == "whisper":
            raise ValueError("wav2vec.front: whisper is not trained by this stage, but read as it is by stage 1")
        return self


class LossConfig(Config):
    """Weights of the terms."""

    kl: float = Field(1.0, ge=0)
    """Kullback-Leibler divergence from the teacher, nats a frame."""
    mel: float = Field(0.5, ge=0)
    """L1 of log-mel frames (standard deviation about 1)."""
    phonetic: float = Field(1.0, ge=0)
    """Squared error of the phonetic channels (whitened components of the teacher's log posteriors), weighted by their
    variance; unused where the encoder has none."""
    temperature: float = Field(2.0, ge=1)
    """tau: 1 leaves the posteriors as they are, more raises the symbols other than the blank."""

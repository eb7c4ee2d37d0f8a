"""Speech stage: distil a phoneme teacher into the small speech encoder of stage 1.

    L = w_kl * tau^2 * KL(p_teacher^(1/tau) || p_student^(1/tau)) + w_mel * |mel - mel*|

The teacher is a CTC network: six frames in ten are "blank" with near certainty. The temperature
tau (Hinton et al. 2015) lets the symbols behind the blank be heard. Both targets are those of the
*clean* sound, while the network hears it louder, softer and in noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from moda.config import Config
from moda.data.speech import SpeechCrops, SpeechDataConfig, crop_batches
from moda.errors import ConfigError
from moda.stages.speech.network import NetworkConfig as SpeechNetworkConfig
from moda.stages.speech.network import SpeechNet, log_mel
from moda.training.stage import Stage, Terms


class SpeechLossConfig(Config):
    """Weights of the terms."""

    kl: float = Field(1.0, ge=0)
    """Kullback-Leibler divergence from the teacher, nats a frame."""
    mel: float = Field(0.5, ge=0)
    """L1 of log-mel frames (spread about 1)."""
    temperature: float = Field(2.0, ge=1)
    """tau: 1 takes the posteriors as they are, more brings out what the blank hides."""


class SpeechStage(Stage):
    """Stage "speech"."""

    name: ClassVar[str] = "speech"
    DataConfig: ClassVar[type[Config]] = SpeechDataConfig
    NetworkConfig: ClassVar[type[Config]] = SpeechNetworkConfig
    LossConfig: ClassVar[type[Config]] = SpeechLossConfig

    data_config: SpeechDataConfig
    network_config: SpeechNetworkConfig
    loss_config: SpeechLossConfig

    def __init__(self, data: SpeechDataConfig, network: SpeechNetworkConfig, loss: SpeechLossConfig) -> None:
        super().__init__(data, network, loss)
        self.net = SpeechNet(network)

    @property
    def players(self) -> dict[str, nn.Module]:
        return {"encoder": self.net}

    @property
    def network(self) -> SpeechNet:
        return self.net

    def datasets(self) -> tuple[SpeechCrops, SpeechCrops]:
        train = SpeechCrops(self.data_config, training=True)
        symbols = len(train.meta.symbols)
        if symbols != self.network_config.symbols:
            raise ConfigError(
                f"network.symbols is {self.network_config.symbols}, but the speech in {self.data_config.root} was "
                f"labelled with {symbols} symbols by {train.meta.teacher}"
            )
        return train, SpeechCrops(self.data_config, training=False)

    def sampler(self, dataset: Any, batch: int, seed: int) -> Any:
        return crop_batches(dataset, batch, seed)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> Iterator[tuple[str, Terms]]:
        kl, mel, _ = self._compare(batch)
        yield "encoder", {"kl": self.loss_config.kl * kl, "mel": self.loss_config.mel * mel}

    def _compare(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """KL and mel L1, means over the valid frames; and the student's logits (B, 2T, S)."""
        predicted = self.net(batch["wave"])
        valid = batch["valid"]
        count = valid.sum().clamp(min=1)
        tau = self.loss_config.temperature
        teacher = F.log_softmax(batch["posteriors"] / tau, dim=-1)
        student = F.log_softmax(predicted.logits.float() / tau, dim=-1)
        kl = tau**2 * (teacher.exp() * (teacher - student)).sum(-1)
        wanted = log_mel(batch["clean"], self.network_config.mels)
        mel = (predicted.mel - wanted).abs().mean(-1)
        return (kl * valid).sum() / count, (mel * valid).sum() / count, predicted.logits

    def validate(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """kl, mel; agreement: share of the teacher's non-blank frames whose symbol is the student's best but blank."""
        kl, mel, logits = self._compare(batch)
        best = batch["posteriors"].argmax(-1)
        spoken = (best != logits.shape[-1] - 1) & (batch["valid"] > 0)
        guess = logits[..., :-1].argmax(-1)
        agreement = (guess == best)[spoken].float().mean() if spoken.any() else torch.zeros(())
        return {"kl": kl.item(), "mel": mel.item(), "agreement": agreement.item(), "score": kl.item()}

    def preview(self, batch: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Posteriors of the first crop, teacher's above student's: time to the right, symbols down."""
        logits = self.net(batch["wave"][:1]).logits[0]
        pictures = [batch["posteriors"][0].exp(), logits.softmax(-1)]
        shades = [(255 * p.T.sqrt().clamp(0, 1)).byte().cpu().numpy() for p in pictures]
        grey = np.concatenate([shades[0], np.full((4, shades[0].shape[1]), 128, np.uint8), shades[1]])
        return {"posteriors": np.repeat(np.repeat(grey, 2, axis=0), 3, axis=1)[..., None].repeat(3, axis=-1)}

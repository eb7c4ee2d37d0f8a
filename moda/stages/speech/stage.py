"""Speech stage: distil a phoneme teacher into the small speech encoder of stage 1.

    L = w_kl * tau^2 * KL(p_teacher^(1/tau) || p_student^(1/tau)) + w_mel * |mel - mel*|
      + w_phonetic * sum_k share_k * (c_k - c_k*)^2

The teacher is a CTC network: six frames in ten are "blank" with near certainty. The temperature
tau (Hinton et al. 2015) gives the other symbols weight. c are the encoder's phonetic
channels, c* the principal components of the teacher's log posteriors, share_k their share of its variance:
from the teacher's own components, a small network reached a lip correlation of 0.70 on ten unseen
people; from the hidden state of an encoder trained on the posteriors alone, 0.55.

All targets are those of the *clean* audio, while the network's input is louder, softer and noisy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moda.config import Config
from moda.data.speech import SpeechCrops, SpeechDataConfig, crop_batches
from moda.errors import ConfigError
from moda.normalization import Moments
from moda.stages.speech.config import LossConfig as SpeechLossConfig
from moda.stages.speech.config import NetworkConfig as SpeechNetworkConfig
from moda.stages.speech.network import TEACHER_FRAMES_A_VIDEO_FRAME, SpeechNet, by_video_frame, log_mel
from moda.training.stage import Stage, Terms

log = logging.getLogger(__name__)


class Errors(NamedTuple):
    """KL, mel L1 and phonetic error, means over the valid frames; and the student's logits (B, 2T, S)."""

    kl: Tensor
    mel: Tensor
    phonetic: Tensor
    logits: Tensor


class SpeechStage(Stage):
    """Stage "speech"."""

    name: ClassVar[str] = "speech"
    DataConfig: ClassVar[type[Config]] = SpeechDataConfig
    NetworkConfig: ClassVar[type[Config]] = SpeechNetworkConfig
    LossConfig: ClassVar[type[Config]] = SpeechLossConfig
    targets: ClassVar[frozenset[str]] = frozenset({"posteriors", "clean"})

    data_config: SpeechDataConfig
    network_config: SpeechNetworkConfig
    loss_config: SpeechLossConfig

    def __init__(self, data: SpeechDataConfig, network: SpeechNetworkConfig, loss: SpeechLossConfig) -> None:
        super().__init__(data, network, loss)
        self.net = SpeechNet(network)

    @classmethod
    def frozen_at_random(cls, network: Config, loss: Config) -> str | None:
        assert isinstance(network, SpeechNetworkConfig)
        reason = network.wav2vec.frozen_at_random()
        return (
            None
            if reason is None
            else (
                f"network.wav2vec.{reason}; set network.wav2vec.freeze=false network.wav2vec.freeze_cnn=false, or name "
                "weights (init=RUN/best.pt, network.wav2vec.pretrained=FOLDER)"
            )
        )

    @property
    def trainables(self) -> dict[str, nn.Module]:
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

    def prepare(self, train: Any) -> None:
        """Fit the principal components of the teacher's log posteriors."""
        if not self.network_config.wav2vec.phonetic:
            return
        whole = (
            rows[: len(rows) // TEACHER_FRAMES_A_VIDEO_FRAME * TEACHER_FRAMES_A_VIDEO_FRAME].astype(np.float32)
            for rows in train.posteriors()
        )
        parts = (Moments.of(by_video_frame(torch.from_numpy(rows)).numpy(), scatter=True) for rows in whole)
        total = reduce(Moments.merge, parts)
        assert total.scatter is not None
        kept = self.net.basis.set_moments(total.mean, total.scatter / total.count, per_channel=False)
        log.info("%d components explain %.0f %% of the teacher's variance", self.net.basis.components, 100 * kept)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> Iterator[tuple[str, Terms]]:
        weights, errors = self.loss_config, self._compare(batch)
        yield (
            "encoder",
            {
                "kl": weights.kl * errors.kl,
                "mel": weights.mel * errors.mel,
                **({"phonetic": weights.phonetic * errors.phonetic} if self.network_config.wav2vec.phonetic else {}),
            },
        )

    def _compare(self, batch: dict[str, Tensor]) -> Errors:
        """How far the student is from its targets."""
        predicted = self.net(batch["wave"])
        valid = batch["valid"]
        count = valid.sum().clamp(min=1)
        tau = self.loss_config.temperature
        teacher = F.log_softmax(batch["posteriors"] / tau, dim=-1)
        student = F.log_softmax(predicted.logits.float() / tau, dim=-1)
        kl = tau**2 * (teacher.exp() * (teacher - student)).sum(-1)
        wanted = log_mel(batch["clean"], self.network_config.mels)
        mel = (predicted.mel - wanted).abs().mean(-1)
        phonetic = torch.zeros((), device=valid.device)
        if self.network_config.wav2vec.phonetic:
            share = self.net.basis.spread / self.net.basis.spread.sum()
            error = ((predicted.features - self.net.components(batch["posteriors"])).square() * share).sum(-1)
            whole = valid.reshape(len(valid), -1, TEACHER_FRAMES_A_VIDEO_FRAME).amin(-1)
            phonetic = (error * whole).sum() / whole.sum().clamp(min=1)
        return Errors((kl * valid).sum() / count, (mel * valid).sum() / count, phonetic, predicted.logits)

    def validate(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """kl, mel, phonetic; agreement: share of the teacher's non-blank frames whose symbol is the student's best but
        blank. score: the phonetic error where the encoder has such channels, else kl.
        """
        kl, mel, phonetic, logits = self._compare(batch)
        best = batch["posteriors"].argmax(-1)
        spoken = (best != logits.shape[-1] - 1) & (batch["valid"] > 0)
        guess = logits[..., :-1].argmax(-1)
        agreement = (guess == best)[spoken].float().mean() if spoken.any() else torch.zeros(())
        score = phonetic if self.network_config.wav2vec.phonetic else kl
        errors = {"kl": kl, "mel": mel, "phonetic": phonetic, "agreement": agreement, "score": score}
        return {name: value.item() for name, value in errors.items()}

    def preview(self, batch: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Posteriors of the first crop, teacher's above student's: time to the right, symbols down."""
        logits = self.net(batch["wave"][:1]).logits[0]
        pictures = [batch["posteriors"][0].exp(), logits.softmax(-1)]
        shades = [(255 * p.T.sqrt().clamp(0, 1)).byte().cpu().numpy() for p in pictures]
        grey = np.concatenate([shades[0], np.full((4, shades[0].shape[1]), 128, np.uint8), shades[1]])
        return {"posteriors": np.repeat(np.repeat(grey, 2, axis=0), 3, axis=1)[..., None].repeat(3, axis=-1)}

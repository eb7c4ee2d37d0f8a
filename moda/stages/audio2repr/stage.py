"""Training of stage 1 (docs/method.md, section 2).

All terms are in standardised units: a channel's error is divided by the channel's standard deviation. With kind: paper
and `loss.standardise: false`, targets are in physical units instead.

    L = lips: L1 + velocity L1 + L1 of the nine openings between facing inner-lip points
      + kind: flow    flow matching of eyes, head and torso (nn.flow)
                      and likelihood of the blinks' onsets (nn.blinks), the eyes being those without blinks
      | kind: paper   L1 and velocity L1 of eyes, head and torso, and KL where there is a VAE

The paper has L1 and KL alone: configs/paper sets the other weights to 0. Frames without a detected face do not count in
any term but the flow's, which needs whole sequences. `loss.train` leaves the terms of lips or of the rest out.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from moda.config import Config
from moda.data.blinking import BlinkingSequences
from moda.data.moments import GROUPS
from moda.data.sequences import MotionSequences, SequenceConfig, collate_by_length, window_batches
from moda.errors import ConfigError
from moda.landmarks import INNER_LIP_PAIRS, lip_rows
from moda.nn.attention_maps import attention_maps
from moda.nn.blinks import BlinkProcess
from moda.nn.losses import frame_l1, kl_divergence
from moda.nn.whisper import WhisperEncoder
from moda.normalization import Moments, Normalizer
from moda.representation import FPS
from moda.stages.audio2repr.config import Audio2ReprConfig, FlowNetworkConfig
from moda.stages.audio2repr.config import LossConfig as Audio2ReprLossConfig
from moda.stages.audio2repr.config import NetworkConfig as Audio2ReprNetworkConfig
from moda.stages.audio2repr.measures import (
    MIN_LIP_STD_PX,
    blinks_per_minute,
    central_opening,
    correlation,
    vertical_openings,
)
from moda.stages.audio2repr.network import Features, FlowAudio2Repr, PaperAudio2Repr, create
from moda.stages.audio2repr.preview import pictures_of
from moda.training.stage import Stage, Terms

log = logging.getLogger(__name__)

MIN_STD = {"lips": 0.05, "eyes": 0.05, "head": 1e-3, "torso": 0.1, "subject": 1.0}
"""Smallest standard deviation of a channel: pixels, for the head pixels, degrees and share of scale.
The subject's is large so that a store with one person does not blow up everyone else's face."""
STATISTICS_BATCHES = 50
"""Batches of one longest window that the statistics of the audio features are taken from: ten minutes."""
WEIGHTS_HINT = (
    "name some (network.wav2vec.pretrained=FOLDER or OWNER/NAME, network.wav2vec.init=SPEECH_CHECKPOINT, "
    "init=RUN/best.pt), or set network.wav2vec.freeze=false network.wav2vec.freeze_cnn=false"
)
"""What to do where the speech encoder is frozen at random weights."""


class Audio2ReprStage(Stage):
    """Stage "audio2repr"; one trainable, "generator"."""

    name: ClassVar[str] = "audio2repr"
    DataConfig: ClassVar[type[Config]] = SequenceConfig
    NetworkConfig: ClassVar[type[Config]] = Audio2ReprNetworkConfig
    LossConfig: ClassVar[type[Config]] = Audio2ReprLossConfig
    norm_setting: ClassVar[str | None] = "network.norm: layer"
    targets: ClassVar[frozenset[str]] = frozenset({"lips", "eyes", "open_eyes", "head", "torso", "onsets"})

    data_config: SequenceConfig
    network_config: Audio2ReprConfig
    loss_config: Audio2ReprLossConfig

    def __init__(self, data: SequenceConfig, network: Audio2ReprConfig, loss: Audio2ReprLossConfig) -> None:
        super().__init__(data, network, loss)
        if loss.train != "all" and not isinstance(network, FlowNetworkConfig):
            raise ConfigError(
                f"loss.train: {loss.train} needs network.kind: flow; with kind: paper lips and the rest share their "
                "branches and are trained together, loss.train: all"
            )
        self.net = create(network)

    @classmethod
    def frozen_at_random(cls, network: Config, loss: Config) -> str | None:
        assert isinstance(network, Audio2ReprConfig) and isinstance(loss, Audio2ReprLossConfig)
        if loss.train == "stochastic":
            return (
                "loss.train: stochastic leaves the lips and all that they read as they are: name the run of the lips, "
                "init=RUN/best.pt, or set loss.train=all"
            )
        reason = network.wav2vec.frozen_at_random()
        return None if reason is None else f"network.wav2vec.{reason}; {WEIGHTS_HINT}"

    @property
    def start(self) -> str:
        encoder = self.network_config.wav2vec
        source = encoder.init or encoder.pretrained
        frozen = ", which stays as it is" if encoder.freeze else ""
        return super().start if source is None else f"{super().start} and the speech encoder of {source}{frozen}"

    @property
    def trainables(self) -> dict[str, nn.Module]:
        return {"generator": self.net}

    @property
    def network(self) -> PaperAudio2Repr | FlowAudio2Repr:
        return self.net

    def datasets(self) -> tuple[MotionSequences, MotionSequences]:
        encoder = self.net.wav2vec if isinstance(self.net.wav2vec, WhisperEncoder) else None
        kind = MotionSequences if self._blinks is None else BlinkingSequences
        return kind.splits(self.data_config, encoder=encoder)

    def sampler(self, dataset: Any, batch: int, seed: int) -> Any:
        return window_batches(dataset, batch, seed)

    def collate(self, samples: list[Any]) -> list[dict[str, Tensor]]:
        return collate_by_length(samples)

    def prepare(self, train: Any) -> None:
        """Fit the statistics of every group and of the subject, the flow's basis, and the blinks' rate and shape."""
        moments = train.moments(list(MIN_STD))
        for name, floor in MIN_STD.items():
            if self.loss_config.standardise or name == "subject":  # the subject is an input
                self.net.normalizer(name).assign(Normalizer.from_moments(moments[name], floor=floor))
        if self.network_config.standardise:
            self.net.normalizer("audio_features").assign(Normalizer.from_moments(self._audio_moments(train)))
        if isinstance(self.net, FlowAudio2Repr):
            self.net.flow.fit_basis(moments)
        if self._blinks is not None:
            samples = train.blink_samples()
            self._blinks.fit(train.mean_rate, samples)
            log.info("blinks: %.1f a minute (mean over people), %d measured", train.mean_rate * 60 * FPS, len(samples))

    @torch.no_grad()
    def _audio_moments(self, train: Any) -> Moments:
        """Moments of the audio features of `STATISTICS_BATCHES` augmented training batches, without dropout."""
        training = self.net.training
        self.net.eval()
        items = (train[window] for window in chain.from_iterable(islice(self.sampler(train, 1, 0), STATISTICS_BATCHES)))
        device = next(self.net.parameters()).device
        total: Moments | None = None
        for item in items:
            wave, speech = (item[name][None].to(device) if name in item else None for name in ("wave", "speech"))
            assert wave is not None
            part = Moments.of(self.net.encode_audio(wave, len(item["lips"]), speech)[0].cpu().numpy())
            total = part if total is None else total.merge(part)
        assert total is not None
        self.net.train(training)
        return total

    def losses(self, batch: list[dict[str, Tensor]], generator: torch.Generator) -> Iterator[tuple[str, Terms]]:
        windows = batch[0]  # a training batch has one length
        if isinstance(self.net, FlowAudio2Repr):
            yield "generator", self._flow_terms(self.net, windows, generator)
        else:
            yield "generator", self._paper_terms(self.net, windows, generator)

    def _paper_terms(
        self, net: PaperAudio2Repr, windows: dict[str, Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        weights = self.loss_config
        prediction = net.predict(self._features(windows), self._noise(windows, generator))
        terms: dict[str, Tensor] = {}
        for name in GROUPS[1:]:
            position, velocity = self._standard_l1(name, getattr(prediction, name), windows)
            terms[name] = weights.others * position
            terms[f"{name}_velocity"] = weights.others_velocity * velocity
        if prediction.latent is not None:
            terms["kl"] = weights.kl * kl_divergence(*prediction.latent)
        return terms | self._lip_terms(prediction.lips, windows)

    def _flow_terms(
        self, net: FlowAudio2Repr, windows: dict[str, Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        weights = self.loss_config
        with torch.set_grad_enabled(torch.is_grad_enabled() and weights.train != "stochastic"):
            features = self._features(windows)
        if net.config.flow.liveliness:
            drawn = torch.rand(len(windows["lips"]), generator=generator, device=windows["lips"].device)
            untold = drawn.to(windows["turning"]) < net.config.flow.liveliness_dropout
            features = replace(features, turning=windows["turning"].masked_fill(untold, math.nan))
        terms: dict[str, Tensor] = {}
        lips = net.predict_lips(features) if weights.train != "stochastic" else None
        if weights.train != "lips":
            if net.blinks is not None:
                onsets, seen, usual = (windows[name] for name in ("onsets", "tracked", "usual_rate"))
                terms["blinks"] = weights.blinks * net.blink_loss(features, onsets, seen, usual)
            terms["flow"] = weights.flow * net.flow_loss(features, *self._flow_targets(windows), generator)
        return terms if lips is None else terms | self._lip_terms(lips, windows)

    def _lip_terms(self, lips: Tensor, windows: dict[str, Tensor]) -> dict[str, Tensor]:
        weights = self.loss_config
        position, velocity = self._standard_l1("lips", lips, windows)
        return {
            "lips": weights.lips * position,
            "lips_velocity": weights.lips_velocity * velocity,
            "opening": weights.opening * self._opening_l1(lips, windows),
        }

    @property
    def _blinks(self) -> BlinkProcess | None:
        return self.net.blinks if isinstance(self.net, FlowAudio2Repr) else None

    def _flow_targets(self, windows: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """True eyes (without their blinks, where these are events), head and torso."""
        return windows["eyes" if self._blinks is None else "open_eyes"], windows["head"], windows["torso"]

    def _noise(self, windows: dict[str, Tensor], generator: torch.Generator | None) -> Tensor | None:
        if not self.net.latent_dim:
            return None
        shape = (*windows["lips"].shape[:2], self.net.latent_dim)
        return torch.randn(shape, generator=generator, device=windows["lips"].device)

    def _standard_l1(self, name: str, predicted: Tensor, windows: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """L1 and velocity L1 of a group (B, T, ...) in standardised units, over the frames with a detected face."""
        error = (predicted - windows[name]) / self.net.normalizer(name).std
        seen = windows["tracked"]
        return frame_l1(error, seen), frame_l1(error.diff(dim=1), seen[:, 1:] * seen[:, :-1])

    def _opening_l1(self, lips: Tensor, windows: dict[str, Tensor]) -> Tensor:
        std = self.net.normalizer("lips").std[:, 1]
        upper, lower = lip_rows(INNER_LIP_PAIRS)
        spread = torch.sqrt(std[upper].square() + std[lower].square())  # (9,)
        error = (vertical_openings(lips) - vertical_openings(windows["lips"])) / spread
        return frame_l1(error, windows["tracked"])

    def _features(self, windows: dict[str, Tensor]) -> Features:
        frames, speech = windows["lips"].shape[1], windows.get("speech")
        features = self.net.features(windows["wave"], windows["subject"], frames, speech)
        return replace(features, turning=windows.get("turning"))

    def validate(self, batch: list[dict[str, Tensor]]) -> dict[str, float]:
        """Means over windows: flow (its loss, eight draws; with kind: flow), lips_px (L1), opening_correlation at lag 0
        and opening_ratio (predicted over true standard deviation), head_ratio and head_speed_ratio of the rotation,
        blinks_per_minute. score: 1 - correlation + lips_px / 100; with `loss.train: stochastic` the flow's loss.

        The correlation of a lip opening that does not move counts as 0.
        """
        rows = []
        for windows in batch:
            features = self._features(windows)
            prediction = self.net.predict(features, self._noise(windows, None))
            opening, truth = (central_opening(x) for x in (prediction.lips, windows["lips"]))
            turn, true_turn = prediction.head[..., :3], windows["head"][..., :3]
            values = {
                "lips_px": (prediction.lips - windows["lips"]).abs().mean(dim=(1, 2, 3)),
                "opening_correlation": correlation(opening, truth),
                "opening_ratio": opening.std(1) / truth.std(1).clamp(min=MIN_LIP_STD_PX),
                "head_ratio": turn.std(1).mean(-1) / true_turn.std(1).mean(-1).clamp(min=MIN_LIP_STD_PX),
                "head_speed_ratio": turn.diff(dim=1).abs().mean(dim=(1, 2))
                / true_turn.diff(dim=1).abs().mean(dim=(1, 2)).clamp(min=MIN_LIP_STD_PX),
                "blinks_per_minute": blinks_per_minute(prediction.eyes, windows["subject"]),
            }
            if isinstance(self.net, FlowAudio2Repr):
                values["flow"] = self._flow_losses(self.net, features, windows)
            rows.append(torch.stack([value.double() for value in values.values()], dim=1))
        means = dict(zip(values, torch.cat(rows).mean(dim=0).tolist(), strict=True))
        score = 1 - means["opening_correlation"] + means["lips_px"] / 100
        return {**means, "score": means["flow"] if self.loss_config.train == "stochastic" else score}

    def _flow_losses(self, net: FlowAudio2Repr, features: Features, windows: dict[str, Tensor]) -> Tensor:
        """The flow's loss of each window (B,), the mean over eight draws that are the same every time."""
        generator = torch.Generator().manual_seed(0)
        losses = []
        for i in range(len(windows["lips"])):
            eyes, head, torso = (values[i : i + 1] for values in self._flow_targets(windows))
            draws = [net.flow_loss(features.of(i), eyes, head, torso, generator) for _ in range(8)]
            losses.append(torch.stack(draws).mean())
        return torch.stack(losses)

    def preview(self, batch: list[dict[str, Tensor]]) -> dict[str, np.ndarray]:
        """Of the first window, true (white) and predicted (orange): lip opening and head yaw as curves, lips and eyes
        as moving points; and the attention of each branch, in its last flow step, see `drawing.draw_maps`.
        """
        windows = {name: values[:1] for name, values in batch[0].items()}
        with attention_maps(self.net) as maps:
            prediction = self.net.predict(self._features(windows), self._noise(windows, None))
        return pictures_of(prediction, windows, maps)

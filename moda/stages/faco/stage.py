"""Training of stage 2, FaCo-Net (docs/method.md, section 3).

    L_D = (D(real) - 1)^2 + D(fake)^2        L_G = (D(fake) - 1)^2 + 10 * L1

L1 is taken in standardised units, or with `loss.standardise: false` in pixels.

Trained on true lips and eyes. Clips without audio serve as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from moda.config import Config
from moda.data.sequences import MotionSequences, SequenceConfig, collate_by_length, window_batches
from moda.landmarks import FACE_OVAL, OTHERS
from moda.nn.gan import UNDECIDED, discriminator_loss, generator_loss
from moda.nn.losses import frame_l1
from moda.normalization import Normalizer
from moda.stages.faco.config import LossConfig as FaCoLossConfig
from moda.stages.faco.config import NetworkConfig as FaCoConfig
from moda.stages.faco.network import FaCoDiscriminator, FaCoNet
from moda.training.diagnosis import Adversary
from moda.training.drawing import draw_moving_points, draw_points
from moda.training.stage import Stage, Terms

MIN_STD_PX = {"lips": 0.05, "eyes": 0.05, "face": 0.05, "subject": 1.0}
"""Smallest standard deviation of a channel, pixels."""


class FaCoStage(Stage):
    """Stage "faco"; trainables "discriminator", then "generator"."""

    name: ClassVar[str] = "faco"
    DataConfig: ClassVar[type[Config]] = SequenceConfig
    NetworkConfig: ClassVar[type[Config]] = FaCoConfig
    LossConfig: ClassVar[type[Config]] = FaCoLossConfig
    targets: ClassVar[frozenset[str]] = frozenset({"face"})

    data_config: SequenceConfig
    network_config: FaCoConfig
    loss_config: FaCoLossConfig

    def __init__(self, data: SequenceConfig, network: FaCoConfig, loss: FaCoLossConfig) -> None:
        super().__init__(data, network, loss)
        self.generator = FaCoNet(network)
        self.discriminator = FaCoDiscriminator(network, self.generator.normalizers)

    @property
    def trainables(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    @property
    def adversary(self) -> Adversary:
        return Adversary("discriminator/lsgan", "generator/lsgan", UNDECIDED)

    @property
    def network(self) -> FaCoNet:
        return self.generator

    def datasets(self) -> tuple[MotionSequences, MotionSequences]:
        return MotionSequences.splits(self.data_config, audio=False, face=True)

    def sampler(self, dataset: Any, batch: int, seed: int) -> Any:
        return window_batches(dataset, batch, seed)

    def collate(self, samples: list[Any]) -> list[dict[str, Tensor]]:
        return collate_by_length(samples)

    def prepare(self, train: Any) -> None:
        """Fit the statistics of lips, eyes, face and subject; generator and discriminator share them."""
        moments = train.moments(list(MIN_STD_PX))
        for name, floor in MIN_STD_PX.items():
            if name == "face" and not self.loss_config.standardise:
                continue
            statistics = self.generator.normalizers[name]
            assert isinstance(statistics, Normalizer)
            statistics.assign(Normalizer.from_moments(moments[name], floor=floor))

    def losses(self, batch: list[dict[str, Tensor]], generator: torch.Generator) -> Iterator[tuple[str, Terms]]:
        windows = batch[0]  # a training batch has one length
        lips, eyes, face, subject = (windows[name] for name in ("lips", "eyes", "face", "subject"))
        weights = self.loss_config
        fake = self.generator(lips, eyes, subject)
        if weights.adversarial:
            real = self.discriminator(lips, eyes, face, subject)
            yield (
                "discriminator",
                {"lsgan": discriminator_loss(real, self.discriminator(lips, eyes, fake.detach(), subject))},
            )
        terms = {"l1": weights.l1 * self._standard_l1(fake, windows)}
        if weights.adversarial:
            terms["lsgan"] = weights.adversarial * generator_loss(self.discriminator(lips, eyes, fake, subject))
        yield "generator", terms

    def _standard_l1(self, fake: Tensor, windows: dict[str, Tensor]) -> Tensor:
        """L1 in standardised units over the frames with a detected face."""
        std = self.generator.normalizers["face"].get_buffer("std")
        return frame_l1((fake - windows["face"]) / std, windows["tracked"])

    def validate(self, batch: list[dict[str, Tensor]]) -> dict[str, float]:
        """Mean L1 in pixels: face_px of all points, others_px of those not given, oval_px of the contour, and
        still_px, the others' when the face does not move. score: others_px.
        """
        rows = []
        for windows in batch:
            face = windows["face"]
            error = (self.generator(windows["lips"], windows["eyes"], windows["subject"]) - face).abs()
            values = {
                "face_px": error.mean(dim=(1, 2, 3)),
                "others_px": error[:, :, OTHERS].mean(dim=(1, 2, 3)),
                "oval_px": error[:, :, list(FACE_OVAL)].mean(dim=(1, 2, 3)),
                "still_px": face[:, :, OTHERS].abs().mean(dim=(1, 2, 3)),
            }
            rows.append(torch.stack([value.double() for value in values.values()], dim=1))
        means = dict(zip(values, torch.cat(rows).mean(dim=0).tolist(), strict=True))
        return {**means, "score": means["others_px"]}

    def preview(self, batch: list[dict[str, Tensor]]) -> dict[str, np.ndarray]:
        """The first window's points from the front, true (white) and predicted (orange), and the frame with the widest
        jaw drop.
        """
        windows = {name: values[:1] for name, values in batch[0].items()}
        predicted = self.generator(windows["lips"], windows["eyes"], windows["subject"])
        frame = int(windows["face"][0, :, 152, 1].argmax())  # 152: tip of the chin
        subject = windows["subject"][0]
        meshes = [(subject + face[0])[..., :2].cpu().numpy() for face in (windows["face"], predicted)]
        return {"face": draw_points([mesh[frame] for mesh in meshes]), "moving_face": draw_moving_points(meshes)}

"""Training of the renderer (paper section 3.3; method, section 5).

    L_D = (D(real) - 1)^2 + D(fake)^2
    L_G = adversarial * (D(fake) - 1)^2 + l1 * L1 + edges * L1 of image gradients
        + feature_matching * FM + perceptual * VGG + style * Gram + mask * mean(mask)

With a warp, all of it is measured inside the region that may be painted; D compares the picture
with the truth pasted into the same warp, so that it can judge nothing but the painted part.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from moda.config import Config
from moda.data.clip import Clip, ClipStore
from moda.data.frames import FramePairs
from moda.nn import gan
from moda.nn.discriminators import FeatureMaps
from moda.nn.perceptual import Vgg19Features, perceptual_loss, style_loss
from moda.stages.renderer.inputs import NetworkConfig as RendererConfig
from moda.stages.renderer.inputs import Painting, RendererInput, to_inputs, to_signed
from moda.stages.renderer.network import build, build_discriminator, judged
from moda.stages.renderer.session import to_pixels
from moda.training.stage import Stage, Terms


class FramesConfig(Config):
    """Where the frames come from."""

    store: Path
    """Clip store made by scripts/prepare.py."""
    train: str = "train"
    """Split to train on."""
    val: str = "val"
    """Split to validate on."""
    targets: int = Field(4, ge=1)
    """Target frames for each reference frame; a batch has trainer.batch references."""
    colour: float = Field(0.0, ge=0)
    """Strength of the colour augmentation, standard deviation of log gamma."""


class RendererLossConfig(Config):
    """Weights of the terms."""

    adversarial: float = Field(1.0, ge=0)
    """LSGAN; 0 trains without the discriminator's gradient."""
    l1: float = Field(100.0, ge=0)
    """L1 of pictures in [-1, 1] (paper: 100)."""
    edges: float = Field(0.0, ge=0)
    """L1 of horizontal and vertical differences; sharpens edges."""
    feature_matching: float = Field(10.0, ge=0)
    """L1 of the discriminator's inner maps (paper: 10)."""
    perceptual: float = Field(10.0, ge=0)
    """VGG19 (paper: 10); off, and logged, where there are no weights."""
    style: float = Field(10.0, ge=0)
    """Gram matrices of VGG19 (paper: 10)."""
    mask: float = Field(0.0, ge=0)
    """Mean of the mask: how much painting costs where the warp would do."""
    vgg: Path | None = None
    """VGG19 weights in torchvision's format; without it torch.hub's cache is tried."""


class RendererStage(Stage):
    """Two players: the generator and its discriminator."""

    name: ClassVar[str] = "renderer"
    DataConfig: ClassVar[type[Config]] = FramesConfig
    NetworkConfig: ClassVar[type[Config]] = RendererConfig
    LossConfig: ClassVar[type[Config]] = RendererLossConfig

    data_config: FramesConfig
    network_config: RendererConfig
    loss_config: RendererLossConfig

    def __init__(self, data: FramesConfig, network: RendererConfig, loss: RendererLossConfig) -> None:
        super().__init__(data, network, loss)
        self.generator = build(network)
        self.discriminator = build_discriminator(network)
        self.vgg = Vgg19Features.load(loss.vgg) if loss.perceptual or loss.style else None

    @property
    def players(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    @property
    def network(self) -> nn.Module:
        return self.generator

    def datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        store = ClipStore.open(self.data_config.store)
        train = self._pairs(store.split(self.data_config.train), train=True)
        held_out = store.split(self.data_config.val)
        return train, self._pairs(held_out, train=False) if held_out else Subset(train, [])

    def _pairs(self, clips: list[Clip], *, train: bool) -> FramePairs:
        config, data = self.network_config, self.data_config
        return FramePairs(
            clips, size=config.size, warp=config.warp, targets=data.targets, train=train, colour=data.colour
        )

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Items have a leading axis of targets already: they are concatenated, (B * K, ...)."""
        return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> Iterator[tuple[str, Terms]]:
        inputs, target = to_inputs(batch), to_signed(batch["target"])
        region = torch.ones_like(target[:, :1]) if inputs.region is None else inputs.region
        real = target if inputs.warped is None else inputs.warped + region * (target - inputs.warped)
        painting: Painting = self.generator(inputs)

        verdicts = self._judge(inputs, real), self._judge(inputs, painting.picture.detach())
        loss = gan.discriminator_loss(*verdicts, inputs.region)
        yield "discriminator", {"discriminator": loss}
        yield "generator", self._generator_terms(inputs, target, real, region, painting)

    def _judge(self, inputs: RendererInput, picture: Tensor) -> list[FeatureMaps]:
        verdict: list[FeatureMaps] = self.discriminator(judged(inputs, picture, self.network_config))
        return verdict

    def _generator_terms(
        self, inputs: RendererInput, target: Tensor, real: Tensor, region: Tensor, painting: Painting
    ) -> dict[str, Tensor]:
        weights = self.loss_config
        terms = {"l1": weights.l1 * masked_l1(painting.picture, target, region)}
        if weights.edges:
            terms["edges"] = weights.edges * gradient_l1(painting.picture, target, region)
        if weights.adversarial or weights.feature_matching:
            fake, true = self._judge(inputs, painting.picture), self._judge(inputs, real)
            terms["adversarial"] = weights.adversarial * gan.generator_loss(fake, inputs.region)
            terms["feature_matching"] = weights.feature_matching * gan.feature_matching_loss(true, fake, inputs.region)
        if self.vgg is not None:
            true_maps, fake_maps = self.vgg(real), self.vgg(painting.picture)
            terms["perceptual"] = weights.perceptual * perceptual_loss(true_maps, fake_maps)
            terms["style"] = weights.style * style_loss(true_maps, fake_maps)
        if weights.mask:
            terms["mask"] = weights.mask * painting.mask.sum() / region.sum().clamp_min(1.0)
        return terms

    def validate(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """L1 in the region in grey levels of 255, its ratio to the warp's, and the sharpness there."""
        inputs, target = to_inputs(batch), to_signed(batch["target"])
        picture = self.generator(inputs).picture
        region = torch.ones_like(target[:, :1]) if inputs.region is None else inputs.region
        l1 = float(masked_l1(picture, target, region)) * 127.5
        scores = {"l1": l1, "sharpness": sharpness(picture, region) / max(sharpness(target, region), 1e-9), "score": l1}
        if inputs.warped is not None:
            scores["l1_to_warp"] = l1 / max(float(masked_l1(inputs.warped, target, region)) * 127.5, 1e-9)
        return scores

    def preview(self, batch: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Rows of condition, reference, warp, picture, truth."""
        inputs = to_inputs(batch)
        columns = [batch["condition"], batch["reference"], *([batch["warped"]] if "warped" in batch else [])]
        pictures = [column.permute(0, 2, 3, 1).cpu().numpy() for column in columns]
        pictures += [to_pixels(self.generator(inputs).picture), batch["target"].permute(0, 2, 3, 1).cpu().numpy()]
        rows = [np.concatenate([column[i] for column in pictures], axis=1) for i in range(min(6, len(pictures[0])))]
        return {"frames": np.concatenate(rows, axis=0)}


def masked_l1(picture: Tensor, target: Tensor, region: Tensor) -> Tensor:
    """L1 of (B, 3, h, w) pictures, weighted by region (B, 1, h, w); a scalar."""
    return ((picture - target).abs() * region).sum() / (3 * region.sum()).clamp_min(1.0)


def gradient_l1(picture: Tensor, target: Tensor, region: Tensor) -> Tensor:
    """`masked_l1` of the horizontal and the vertical differences, added."""
    difference = picture - target
    return masked_l1(difference.diff(dim=3), torch.zeros_like(difference[..., 1:]), region[..., 1:]) + masked_l1(
        difference.diff(dim=2), torch.zeros_like(difference[:, :, 1:]), region[:, :, 1:]
    )


def sharpness(picture: Tensor, region: Tensor) -> float:
    """Mean squared Laplacian of the luma inside the region: how much fine detail there is."""
    luma = picture.mean(dim=1, keepdim=True)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=luma.device)[None, None]
    detail = nn.functional.conv2d(luma, kernel, padding=1) ** 2
    return float((detail * region).sum() / region.sum().clamp_min(1.0))

"""Training of the renderer (paper section 3.3; docs/method.md, section 5).

    L_D = (D(real) - 1)^2 + D(fake)^2
    L_G = adversarial * (D(fake) - 1)^2 + l1 * L1 + edges * L1 of image gradients
        + feature_matching * FM + perceptual * VGG + style * Gram + mask * mean(mask)
        + smooth * L1 of the shift's gradients

With a warp, all terms are computed inside the mask's region, weighted by the region's square; the real picture of D is
the truth composited into the same warp, so that D can tell the two apart inside the region alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from moda.config import Config
from moda.data.clip import Clip, ClipStore
from moda.data.frames import FramePairs, FramesInOrder
from moda.data.parts import Part, hold_out_end
from moda.data.settings import FramesConfig
from moda.errors import ConfigError, DataError
from moda.locations import command
from moda.nn import gan
from moda.nn.discriminators import FeatureMaps
from moda.nn.perceptual import Vgg19Features, perceptual_loss, style_loss
from moda.representation import FPS
from moda.stages.renderer.compositing import RendererOutput
from moda.stages.renderer.config import LossConfig as RendererLossConfig
from moda.stages.renderer.config import NetworkConfig as RendererConfig
from moda.stages.renderer.inputs import RendererInput, to_inputs, to_signed
from moda.stages.renderer.network import build, build_discriminator, discriminator_inputs
from moda.stages.renderer.session import to_pixels
from moda.training.diagnosis import Adversary
from moda.training.stage import Stage, Terms

log = logging.getLogger(__name__)

PERSON_STORE = "clips"
"""Clip store of `data.video`, in the run's output folder."""
MAX_PREVIEW_PEOPLE = 10
"""So many names are shown where a person is not found."""
MAX_VIDEO_SIDE, MAX_VIDEO_FRAMES = 256, 24
"""Pixels and frames of the moving preview."""
MIN_SHARPNESS_SHARE = 0.7
"""Share of the truth's sharpness below which a picture's score suffers: L1 alone likes what is blurred."""


class RendererStage(Stage):
    """Two trainables: the generator and its discriminator."""

    name: ClassVar[str] = "renderer"
    DataConfig: ClassVar[type[Config]] = FramesConfig
    NetworkConfig: ClassVar[type[Config]] = RendererConfig
    LossConfig: ClassVar[type[Config]] = RendererLossConfig
    training_only: ClassVar[frozenset[str]] = frozenset({"discriminator"})

    data_config: FramesConfig
    network_config: RendererConfig
    loss_config: RendererLossConfig

    def __init__(self, data: FramesConfig, network: RendererConfig, loss: RendererLossConfig) -> None:
        super().__init__(data, network, loss)
        self.generator = build(network)
        self.discriminator = build_discriminator(network)
        self.vgg = Vgg19Features.load(loss.vgg) if loss.perceptual or loss.style else None

    def prepare_data(self, output: Path, scratch: Path | None, *, main: bool) -> None:
        """The clip store of `data.video`, in the run's folder."""
        video = self.data_config.video
        if video is None:
            return
        store = output / PERSON_STORE
        if scratch is not None and not (store / "store.json").is_file():
            store = scratch / PERSON_STORE
        if main:
            from moda.stages.renderer.person import prepare_person  # loads the trackers

            prepare_person(video, store, self.network_config.size)
        self.data_config = self.data_config.model_copy(update={"store": store})

    @property
    def trainables(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    @property
    def adversary(self) -> Adversary:
        undecided = gan.UNDECIDED * self.network_config.discriminator.scales
        return Adversary("discriminator/discriminator", "generator/adversarial", undecided)

    @property
    def network(self) -> nn.Module:
        return self.generator

    def datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        data, network = self.data_config, self.network_config
        if data.store is None:
            raise ConfigError(f"{data.video} has not been made into a clip store; '{command('train')}' does that")
        store = ClipStore.open(data.store)
        clips = self._clips(store, data.train)
        if data.held_out is None:
            train = self._pairs(clips, train=True)
            held_out = self._clips(store, data.val)
            return train, self._pairs(held_out, train=False) if held_out else Subset(train, [])
        before, end = hold_out_end(clips, data.held_out)
        seconds, known = (sum(len(part.targets) for part in parts) / FPS for parts in (end, before))
        log.info(
            "held out for validation and the final figures: the last %.1f s of the video; trained on: %.1f s before",
            seconds, known,
        )  # fmt: skip
        in_order = FramesInOrder(end, size=network.size, warp=network.warp, targets=data.targets)
        return self._pairs(before, train=True), in_order

    def _clips(self, store: ClipStore, split: str) -> list[Clip]:
        """Those of a split that are of the configured person."""
        clips, wanted = store.split(split), self.data_config.identity
        own = [clip for clip in clips if wanted is None or clip.identity == wanted]
        if split == self.data_config.train and clips and not own:
            people = ", ".join(sorted({clip.identity for clip in clips})[:MAX_PREVIEW_PEOPLE])
            raise DataError(
                f"no clip of data.identity '{wanted}' in the '{split}' split of {store.root}; it has {people}"
            )
        return own

    def _pairs(self, clips: Sequence[Clip | Part], *, train: bool) -> FramePairs:
        config, data = self.network_config, self.data_config
        return FramePairs(
            clips,
            size=config.size,
            warp=config.warp,
            targets=data.targets,
            train=train,
            colour=data.colour,
            cache_gb=data.cache_gb if train else 0.0,
        )

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Items have a leading axis of targets already: they are concatenated, (B * K, ...)."""
        return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> Iterator[tuple[str, Terms]]:
        inputs, target = to_inputs(batch), to_signed(batch["target"])
        real = target
        if inputs.warped is not None and inputs.region is not None:
            real = inputs.warped + (inputs.region > 0) * (target - inputs.warped)
        weight = weight_of(inputs)
        output: RendererOutput = self.generator(inputs)
        scores = self._discriminate(inputs, real), self._discriminate(inputs, output.picture.detach())
        yield "discriminator", {"discriminator": gan.discriminator_loss(*scores, weight)}
        yield "generator", self._generator_terms(inputs, target, real, weight, output)

    def _discriminate(self, inputs: RendererInput, picture: Tensor) -> list[FeatureMaps]:
        maps: list[FeatureMaps] = self.discriminator(discriminator_inputs(inputs, picture, self.network_config))
        return maps

    def _generator_terms(
        self, inputs: RendererInput, target: Tensor, real: Tensor, weight: Tensor, output: RendererOutput
    ) -> dict[str, Tensor]:
        weights = self.loss_config
        terms = {"l1": weights.l1 * masked_l1(output.picture, target, weight)}
        if weights.edges:
            terms["edges"] = weights.edges * gradient_l1(output.picture, target, weight)
        if weights.adversarial or weights.feature_matching:
            fake, true = self._discriminate(inputs, output.picture), self._discriminate(inputs, real)
            terms["adversarial"] = weights.adversarial * gan.generator_loss(fake, weight)
            terms["feature_matching"] = weights.feature_matching * gan.feature_matching_loss(true, fake, weight)
        if self.vgg is not None:
            true_maps, fake_maps = self.vgg(real), self.vgg(output.picture)
            terms["perceptual"] = weights.perceptual * perceptual_loss(true_maps, fake_maps)
            terms["style"] = weights.style * style_loss(true_maps, fake_maps)
        if weights.mask:
            terms["mask"] = weights.mask * output.mask.sum() / weight.sum().clamp_min(1.0)
        if weights.smooth and output.shift is not None:
            across, down = output.shift.diff(dim=3).abs().mean(), output.shift.diff(dim=2).abs().mean()
            terms["smooth"] = weights.smooth * (across + down)
        return terms

    def validate(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """L1 weighted by `weight_of`, grey levels of 255; sharpness there over the truth's; both of the warp alone."""
        inputs, target = to_inputs(batch), to_signed(batch["target"])
        picture = self.generator(inputs).picture
        weight = weight_of(inputs)
        detail = max(sharpness(target, weight), 1e-9)
        scores = {
            "l1": float(masked_l1(picture, target, weight)) * 127.5,
            "sharpness": sharpness(picture, weight) / detail,
        }
        if inputs.warped is not None:
            scores["l1_warp"] = float(masked_l1(inputs.warped, target, weight)) * 127.5
            scores["sharpness_warp"] = sharpness(inputs.warped, weight) / detail
        return scores

    def summarise(self, means: dict[str, float]) -> dict[str, float]:
        """L1 over that of the warp; and the score: L1, made worse by the share by which sharpness is below
        `MIN_SHARPNESS_SHARE`. Of means: one batch may well be smoother than the truth.
        """
        blurred = max(0.0, MIN_SHARPNESS_SHARE - means["sharpness"])
        warp = {"l1_to_warp": means["l1"] / max(means["l1_warp"], 1e-9)} if "l1_warp" in means else {}
        return {**means, **warp, "score": means["l1"] * (1 + blurred)}

    def describe_change(self, before: dict[str, float], after: dict[str, float]) -> str:
        """L1 and sharpness of the warp alone, of the start and of best.pt."""
        rows = [("before", before["l1"], before["sharpness"]), ("after", after["l1"], after["sharpness"])]
        if "l1_warp" in before:
            rows.insert(0, ("warp alone", before["l1_warp"], before["sharpness_warp"]))
        change = 100 * (after["l1"] / max(before["l1"], 1e-9) - 1)
        lines = ["held out, around the mouth: L1 in grey levels of 255, sharpness against the truth's"]
        lines += [f"  {name:10}  L1 {l1:6.2f}   sharpness {sharp:.2f}" for name, l1, sharp in rows]
        return "\n".join([*lines, f"  L1 {change:+.1f} %"])

    def preview(self, batch: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Rows of condition, reference, warp, picture, truth; and picture beside truth, moving through the batch."""
        inputs = to_inputs(batch)
        columns = [batch["condition"], batch["reference"], *([batch["warped"]] if "warped" in batch else [])]
        pictures = [column.permute(0, 2, 3, 1).cpu().numpy() for column in columns]
        pictures += [to_pixels(self.generator(inputs).picture), batch["target"].permute(0, 2, 3, 1).cpu().numpy()]
        rows = [np.concatenate([column[i] for column in pictures], axis=1) for i in range(min(6, len(pictures[0])))]
        step = -(-pictures[-1].shape[1] // MAX_VIDEO_SIDE)
        video = np.concatenate([column[:MAX_VIDEO_FRAMES, ::step, ::step] for column in pictures[-2:]], axis=2)
        return {"frames": np.concatenate(rows, axis=0), "moving": video}


def weight_of(inputs: RendererInput) -> Tensor:
    """How much each pixel counts, (B, 1, h, w): the mouth four times as much as the face around it; 1 without warp."""
    return torch.ones_like(inputs.reference[:, :1]) if inputs.region is None else inputs.region.square()


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

"""Training of the renderer (paper section 3.3; docs/method.md, section 5).

    L_D = (D(real) - 1)^2 + D(fake)^2
    L_G = adversarial * (D(fake) - 1)^2 + l1 * L1 + edges * L1 of image gradients
        + feature_matching * FM + perceptual * difference of features + style * Gram + mask * mean(mask)
        + smooth * L1 of the shift's gradients

The eyes' windows have the same terms, with the same discriminator, added up. With a warp, all terms
are computed inside the mask's region, weighted by the region's square; the real picture of D is the truth
composited into the same warp, so that D can tell the two apart inside the region alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from moda.config import Config
from moda.data.clip import Clip
from moda.data.frames import FramePairs, FramesInOrder
from moda.data.parts import Part, hold_out_end
from moda.data.photo_pairs import FramesAndPhotos, PhotoPairs, lip_shapes
from moda.data.photos import PhotoStore
from moda.data.settings import FramesConfig
from moda.data.store import ClipStore
from moda.errors import ConfigError, DataError
from moda.imaging.conditioning import of_part
from moda.locations import command
from moda.nn import gan
from moda.nn.discriminators import FeatureMaps
from moda.nn.perceptual import load_features, perceptual_loss, style_loss
from moda.representation import FPS, WindowPart
from moda.stages.renderer.config import LossConfig as RendererLossConfig
from moda.stages.renderer.config import NetworkConfig as RendererConfig
from moda.stages.renderer.inputs import RendererInput
from moda.stages.renderer.network import (
    RefiningRenderer,
    build,
    build_discriminator,
    discriminator_inputs,
    finer_weights,
)
from moda.stages.renderer.pairs import Pair, Windows
from moda.stages.renderer.preview import pictures_of
from moda.stages.renderer.scores import window_scores, with_score
from moda.stages.renderer.session import to_pixels
from moda.stages.renderer.terms import gradient_l1, masked_l1
from moda.training.diagnosis import Adversary
from moda.training.stage import Stage, Terms

log = logging.getLogger(__name__)

PERSON_STORE = "clips"
"""Clip store of `data.video`, in the run's output folder."""
MAX_PREVIEW_PEOPLE = 10
"""So many names are shown where a person is not found."""
PARTS: tuple[WindowPart, ...] = ("mouth", "eyes")


class RendererStage(Stage):
    """Two trainables: the generator and its discriminator."""

    name: ClassVar[str] = "renderer"
    DataConfig: ClassVar[type[Config]] = FramesConfig
    NetworkConfig: ClassVar[type[Config]] = RendererConfig
    LossConfig: ClassVar[type[Config]] = RendererLossConfig
    training_only: ClassVar[frozenset[str]] = frozenset({"discriminator"})
    targets: ClassVar[frozenset[str]] = frozenset({"target", "eyes.target"})

    data_config: FramesConfig
    network_config: RendererConfig
    loss_config: RendererLossConfig

    def __init__(self, data: FramesConfig, network: RendererConfig, loss: RendererLossConfig) -> None:
        super().__init__(data, network, loss)
        self.generator = build(network)
        self.discriminator = build_discriminator(network)
        wanted = loss.perceptual or loss.style
        self.features = load_features(loss.perceptual_weights, loss.perceptual_network) if wanted else None

        self.train()

    @classmethod
    def frozen_at_random(cls, network: Config, loss: Config) -> str | None:
        """See `Stage.frozen_at_random`."""
        assert isinstance(loss, RendererLossConfig)
        if loss.train == "all":
            return None
        return (
            "loss.train: detail leaves all but the layers of full resolution as they are: name the checkpoint of a "
            "smaller size, init=assets/checkpoints/renderer.pt, or set loss.train=all"
        )

    def train(self, mode: bool = True) -> RendererStage:
        """As of every module; with `loss.train: detail` what is not trained keeps its statistics."""
        super().train(mode)
        if self.loss_config.train == "detail" and isinstance(self.generator, RefiningRenderer):
            self.generator.keep_all_but_detail()
        return self

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
            clips = self._large_enough(clips)
            train = self._with_photos(self._pairs(clips, train=True), clips)
            held_out = self._clips(store, data.val)
            return train, self._pairs(held_out, train=False) if held_out else Subset(train, [])
        before, end = hold_out_end(clips, data.held_out)
        seconds, known = (sum(len(part.targets) for part in parts) / FPS for parts in (end, before))
        log.info(
            "held out for validation and the final figures: the last %.1f s of the video; trained on: %.1f s before",
            seconds, known,
        )  # fmt: skip
        eyes = bool(network.eye_widths)
        in_order = FramesInOrder(end, size=network.size, warp=network.warp, targets=data.targets, eyes=eyes)
        return self._with_photos(self._pairs(before, train=True), clips), in_order

    def _with_photos(self, frames: FramePairs, clips: Sequence[Clip]) -> Dataset[Any]:
        """The training set with `data.photos`, whose references take lip shapes of these clips."""
        data, network = self.data_config, self.network_config
        if data.photos is None:
            return frames
        if not network.warp:
            raise ConfigError("data.photos needs a renderer with a warp (network.warp): it poses the photographs")
        photos = PhotoPairs(
            PhotoStore.open(data.photos), lip_shapes(clips),
            size=network.size, eyes=bool(network.eye_widths), colour=data.colour,
        )  # fmt: skip
        return FramesAndPhotos(frames, photos, data.photo_pairs)

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

    def _large_enough(self, clips: list[Clip]) -> list[Clip]:
        """Those whose face spans `data.min_face_px` pixels of the source."""
        least = self.data_config.min_face_px
        large = [clip for clip in clips if not least or clip.quality.get("face_px", 0.0) >= least]
        if clips and not large:
            largest = max(clip.quality.get("face_px", 0.0) for clip in clips)
            raise DataError(
                f"the faces of all {len(clips)} clips to train on are too small: the largest spans {largest:.0f} px "
                f"of its source, wanted data.min_face_px {least:g}; lower it, or add footage of a higher resolution"
            )
        return large

    def _pairs(self, clips: Sequence[Clip | Part], *, train: bool) -> FramePairs:
        config, data = self.network_config, self.data_config
        return FramePairs(
            clips,
            size=config.size,
            warp=config.warp,
            targets=data.targets,
            train=train,
            eyes=bool(config.eye_widths),
            colour=data.colour,
            cache_gb=data.cache_gb if train else 0.0,
        )

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Items have a leading axis of targets already: they are concatenated, (B * K, ...)."""
        return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> Iterator[tuple[str, Terms]]:
        parts = {name: Pair.of(part, network(part.inputs)) for name, network, part in self._trained(batch)}
        pieces = [
            gan.discriminator_loss(
                self._discriminate(pair.inputs, pair.real),
                self._discriminate(pair.inputs, pair.output.picture.detach()),
                pair.weight,
            )
            for pair in parts.values()
        ]  # fmt: skip
        yield "discriminator", {"discriminator": torch.stack(pieces).mean()}
        yield (
            "generator",
            {
                prefix + name: term
                for prefix, pair in parts.items()
                for name, term in self._generator_terms(pair, generator).items()
            },
        )

    def _trained(self, batch: dict[str, Tensor]) -> Iterator[tuple[str, nn.Module, Windows]]:
        """Those of `_parts` that `loss.parts` names."""
        prefixes = ["" if part == "mouth" else f"{part}_" for part in self.loss_config.parts]
        return (each for each in self._parts(batch) if each[0] in prefixes)

    def _parts(self, batch: dict[str, Tensor]) -> Iterator[tuple[str, nn.Module, Windows]]:
        """Of the mouth's windows, or whole frames, and of the eyes' if there are any: what goes before the names of
        scores and terms, the network, its inputs and the truth.
        """
        yield "", self.generator, Windows.of(of_part(batch, "mouth"))
        if self.network_config.eye_widths:
            yield "eyes_", self.generator.get_submodule("eyes"), Windows.of(of_part(batch, "eyes"))

    def _discriminate(self, inputs: RendererInput, picture: Tensor) -> list[FeatureMaps]:
        maps: list[FeatureMaps] = self.discriminator(discriminator_inputs(inputs, picture, self.network_config))
        return maps

    def _generator_terms(self, pair: Pair, generator: torch.Generator) -> dict[str, Tensor]:
        weights, inputs, output, weight = self.loss_config, pair.inputs, pair.output, pair.weight
        terms = {"l1": weights.l1 * masked_l1(output.picture, pair.target, weight)}
        if weights.edges:
            terms["edges"] = weights.edges * gradient_l1(output.picture, pair.target, weight)
        if weights.adversarial or weights.feature_matching:
            fake, true = self._discriminate(inputs, output.picture), self._discriminate(inputs, pair.real)
            terms["adversarial"] = weights.adversarial * gan.generator_loss(fake, weight)
            terms["feature_matching"] = weights.feature_matching * gan.feature_matching_loss(true, fake, weight)
        if self.features is not None:
            windows = len(pair.real)
            count = math.ceil(weights.perceptual_share * windows)
            seen = torch.randperm(windows, generator=generator, device=pair.real.device)[:count]
            with torch.no_grad():
                true_maps = self.features(pair.real[seen])
            fake_maps = self.features(output.picture[seen])
            difference = perceptual_loss(true_maps, fake_maps, relative=self.features.relative)
            terms["perceptual"] = weights.perceptual * difference
            if weights.style:
                terms["style"] = weights.style * style_loss(true_maps, fake_maps)
        if weights.mask:
            terms["mask"] = weights.mask * output.mask.float().sum() / weight.sum().clamp_min(1.0)
        if weights.smooth and output.shift is not None:
            across, down = output.shift.diff(dim=3).abs().mean(), output.shift.diff(dim=2).abs().mean()
            terms["smooth"] = weights.smooth * (across + down)
        return terms

    def validate(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """L1 weighted by `weight_of`, grey levels of 255; sharpness there over the truth's; both of the warp alone.

        The same of the eyes' windows after "eyes_".
        """
        return {
            prefix + name: value
            for prefix, network, part in self._parts(batch)
            for name, value in window_scores(network(part.inputs).picture, part).items()
        }

    def summarise(self, means: dict[str, float]) -> dict[str, float]:
        """See `with_score`."""
        return with_score(means)

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
        """Rows of condition, reference, warp, picture, truth, the eyes' after the mouth's; and picture beside truth,
        moving through the batch.
        """
        parts = zip(self._parts(batch), PARTS, strict=False)
        return pictures_of(
            [(of_part(batch, name), to_pixels(network(part.inputs).picture)) for (_, network, part), name in parts]
        )

    def adopt(self, settings: RendererConfig, weights: dict[str, Tensor]) -> tuple[RendererConfig, dict[str, Tensor]]:
        """A renderer trained at another size, also with a smaller `fold`; and one without `eye_widths`, whose weights
        the eyes start from too.
        """
        own = self.network_config
        if own.warp and settings.warp:
            if own.fold > settings.fold:
                weights = finer_weights(weights, settings, own.fold)
                finer = settings.shift * (own.fold // settings.fold)  # pixels
                settings = settings.model_copy(update={"fold": own.fold, "shift": finer})
            settings = settings.model_copy(update={"size": own.size})
            if own.eye_widths == settings.widths and not settings.eye_widths:
                settings = settings.model_copy(update={"eye_widths": own.eye_widths})
                weights = {**weights, **{f"eyes.{name}": tensor.clone() for name, tensor in weights.items()}}
        return settings, weights

"""What a renderer is configured with and what it is given.

Dimension letters: B batch, h w height and width of what the network sees (the whole frame, or the
mouth window when there is a warp). Pictures are in [-1, 1], maps in [0, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from moda.config import Config
from moda.media.conditioning import WINDOW_SHARE
from moda.nn.temporal import TEMPORAL_CHANNELS, as_planes, temporal_embedding
from moda.nn.unet import PaperUNet

PICTURE = 3
HALVED = 2**PaperUNet.DEPTH
"""Factor by which the U-Net of a renderer without a warp makes its pictures smaller."""


class DiscriminatorConfig(Config):
    """pix2pixHD's multi-scale PatchGAN (docs/method.md, section 5)."""

    scales: int = Field(3, ge=1)
    """Pictures halved in size that are judged; 3 in the paper."""
    layers: int = Field(4, ge=2)
    """Convolutions of stride 2; 4 in the paper."""
    width: int = Field(64, ge=4)
    """Channels of the first convolution; 64 in the paper."""


class NetworkConfig(Config):
    """The renderer."""

    size: int = Field(256, ge=64)
    """Side of the frames it is trained on, pixels."""
    warp: bool = True
    """Refine the warped reference (default), or paint everything from the landmarks (paper)."""
    temporal: bool = True
    """Give the network the time (TPE); off is the paper's ablation."""
    wrap_time: bool = True
    """Take t' modulo 2 pi, for videos of any length; the paper does not."""
    width: int = Field(64, ge=4)
    """Without a warp: channels of the U-Net's first level (64 in the paper)."""
    widths: tuple[int, ...] = (24, 48, 96, 128)
    """With a warp: channels of the levels of the refining U-Net."""
    shift: float = Field(0.0, ge=0)
    """With a warp: pixels by which the network may move what the warp shows; 0 leaves it where it is."""
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    """The adversary of training; inference does not build it."""

    @model_validator(mode="after")
    def _whole_levels(self) -> NetworkConfig:
        if not self.warp and self.size % HALVED:
            raise ValueError(
                f"size {self.size} without a warp, wanted a multiple of {HALVED}, as its U-Net halves it so far"
            )
        fold = 2 ** len(self.widths)
        window = round(self.size * WINDOW_SHARE)
        if self.warp and window % fold:
            raise ValueError(
                f"size {self.size} makes a window of {window}, wanted a multiple of {fold} (2 to the number of widths)"
            )
        return self


class RendererInput(NamedTuple):
    """What a renderer is given.

    condition, reference: (B, 3, h, w). frame: (B,) index in time. With a warp also warped
    (B, 3, h, w), validity (B, 1, h, w) and region (B, 1, h, w).
    """

    condition: Tensor
    reference: Tensor
    frame: Tensor
    warped: Tensor | None = None
    validity: Tensor | None = None
    region: Tensor | None = None

    def pictures(self) -> Tensor:
        """Everything but the time, concatenated: (B, `picture_channels`, h, w)."""
        optional = [part for part in (self.warped, self.validity, self.region) if part is not None]
        return torch.cat([self.condition, self.reference, *optional], dim=1)

    def time(self, config: NetworkConfig, height: int, width: int) -> list[Tensor]:
        """TPE as planes (B, 13, height, width) in a list; the list is empty without TPE."""
        if not config.temporal:
            return []
        return [as_planes(temporal_embedding(self.frame, wrap=config.wrap_time), height, width)]

    def channels(self, config: NetworkConfig) -> Tensor:
        """Everything concatenated: 3 + 3 + 13 = 19 channels in the paper (docs/method.md, section 5)."""
        return torch.cat([self.pictures(), *self.time(config, *self.condition.shape[-2:])], dim=1)


def picture_channels(config: NetworkConfig) -> int:
    """Channels of `RendererInput.pictures`."""
    return 2 * PICTURE + (PICTURE + 2 if config.warp else 0)


def time_channels(config: NetworkConfig) -> int:
    """Channels that TPE adds."""
    return TEMPORAL_CHANNELS if config.temporal else 0


def input_channels(config: NetworkConfig) -> int:
    """Channels of `RendererInput.channels`."""
    return picture_channels(config) + time_channels(config)


def to_signed(picture: Tensor) -> Tensor:
    """uint8 picture to [-1, 1]."""
    return picture.float() / 127.5 - 1.0


def to_inputs(batch: dict[str, Tensor]) -> RendererInput:
    """A batch of `moda.data.frames` or of one portrait's frames, as the network's inputs."""
    warped = batch.get("warped")
    return RendererInput(
        condition=to_signed(batch["condition"]),
        reference=to_signed(batch["reference"]),
        frame=batch["frame"],
        warped=None if warped is None else to_signed(warped),
        validity=batch.get("validity"),
        region=batch.get("region"),
    )

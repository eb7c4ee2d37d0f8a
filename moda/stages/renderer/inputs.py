"""Inputs of the renderer, and how many channels they have.

Dimension letters: B batch, h w height and width of the network's input (the whole frame, or the
mouth window when there is a warp). Pictures are in [-1, 1], maps in [0, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from moda.nn.temporal import TEMPORAL_CHANNELS, as_planes, temporal_embedding
from moda.stages.renderer.config import NetworkConfig

PICTURE_CHANNELS = 3


class RendererInput(NamedTuple):
    """Inputs of a renderer: I_t^c, I_r and t of the paper, section 3.3.

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
    return 2 * PICTURE_CHANNELS + (PICTURE_CHANNELS + 2 if config.warp else 0)


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

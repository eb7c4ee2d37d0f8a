"""VGG19 features and the perceptual and style losses on them (docs/method.md, section 5).

Dimension letters: B batch, C channels, H W picture height and width.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from moda.errors import CheckpointError
from moda.tensor_file import read_published

log = logging.getLogger(__name__)

CONVOLUTIONS_A_BLOCK = (2, 2, 4, 4, 4)
"""Convolutions of VGG19 between one pooling and the next (Simonyan and Zisserman, configuration E)."""
BLOCK_CHANNELS = (64, 128, 256, 512, 512)
LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Weights of relu1_1 ... relu5_1, those of pix2pixHD: deep layers count most."""
HUB_FILE = "vgg19-dcbb9e9d.pth"
"""Name of torchvision's weights in torch.hub's cache."""


class Vgg19Features(nn.Module):
    """Frozen VGG19 up to relu5_1: pictures (B, 3, H, W) in -1..1 -> maps of relu1_1 ... relu5_1.

    H and W at least 16. Weights are torchvision's ("features.N.weight"); see `load`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.taps: list[int] = []
        inner = 3
        for stage, (count, outer) in enumerate(zip(CONVOLUTIONS_A_BLOCK, BLOCK_CHANNELS, strict=True)):
            for i in range(count if stage < len(CONVOLUTIONS_A_BLOCK) - 1 else 1):
                layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU()]
                if i == 0:
                    self.taps.append(len(layers) - 1)
                inner = outer
            if stage < len(CONVOLUTIONS_A_BLOCK) - 1:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
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

    @classmethod
    def load(cls, path: Path | str | None) -> Vgg19Features | None:
        """Weights from `path`, else from torch.hub's cache; None with a log line where neither is.

        Nothing is downloaded. Raises `CheckpointError` if the file named or found cannot be used.
        """
        file = Path(path) if path is not None else Path(torch.hub.get_dir()) / "checkpoints" / HUB_FILE
        if path is None and not file.is_file():
            log.warning(
                "no VGG19 weights: perceptual and style losses are off; put torchvision's %s in %s or give its path",
                HUB_FILE,
                file.parent,
            )
            return None
        try:
            stored = read_published(file)
        except FileNotFoundError as error:
            raise CheckpointError(f"no such file: {file}, wanted torchvision's VGG19 weights ({HUB_FILE})") from error
        except (OSError, ValueError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"cannot read VGG19 weights from {file}: {type(error).__name__}") from error
        network = cls()
        wanted = network.state_dict()
        if not isinstance(stored, dict) or not all(
            isinstance(stored.get(k), Tensor) and stored[k].shape == v.shape and torch.isfinite(stored[k]).all()
            for k, v in wanted.items()
        ):
            raise CheckpointError(f"{file} does not hold VGG19 weights, wanted torchvision's {HUB_FILE}")
        network.load_state_dict({name: stored[name] for name in wanted})
        log.info("VGG19 weights from %s", file)
        return network


def perceptual_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """L1 between VGG maps, layers weighted by `LAYER_WEIGHTS`; a scalar."""
    terms = [w * (f - r.detach()).abs().mean() for w, r, f in zip(LAYER_WEIGHTS, real, fake, strict=True)]
    return torch.stack(terms).sum()


def style_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean over layers of L1 between Gram matrices of VGG maps; a scalar."""
    terms = [(gram(f) - gram(r.detach())).abs().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def gram(maps: Tensor) -> Tensor:
    """Channel correlations, divided by C*H*W: (B, C, H, W) -> (B, C, C)."""
    flat = maps.flatten(2).float()
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])

"""True pictures beside the renderer's inputs, and another light on all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from moda.imaging.conditioning import EYES, FrameInputs, picture_tensor
from moda.imaging.windows import cut

SHADED = ("reference", "warped", "target")


def with_targets(
    item: dict[str, Tensor], inputs: Sequence[FrameInputs], pictures: Sequence[np.ndarray]
) -> dict[str, Tensor]:
    """Stacked inputs with "target", (K, 3, h, w) uint8: of each true picture (size, size, 3) what a window shows."""
    item["target"] = picture_tensor(
        [cut(p, i.window) if i.window else p for p, i in zip(pictures, inputs, strict=True)]
    )
    eyes = [cut(p, i.eyes.window) for p, i in zip(pictures, inputs, strict=True) if i.eyes and i.eyes.window]
    if eyes:
        item[EYES + "target"] = picture_tensor(eyes)
    return item


def shade(item: dict[str, Tensor], rng: np.random.Generator, strength: float) -> None:
    """Another light, in place: one random gamma and a gain a channel for all pictures of the item.

    strength: standard deviation of log gamma.
    """
    levels = np.arange(256) / 255.0
    gamma = np.exp(rng.normal(0, strength))
    names = [part + name for part in ("", EYES) for name in SHADED if part + name in item]
    for channel, gain in enumerate(np.exp(rng.normal(0, 0.3 * strength, 3))):
        table = np.round(255 * np.clip(gain * levels**gamma, 0, 1)).astype(np.uint8)
        for name in names:
            picture = item[name][:, channel].numpy()
            picture[:] = table[picture]

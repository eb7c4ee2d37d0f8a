"""Least-squares adversarial losses and feature matching (docs/method.md, sections 3 and 5).

A discriminator's output is one tensor of logits, or for each scale a list of maps with the logits
last (discriminators.MultiScaleDiscriminator). All scales count, and a single tensor counts whole:
the released code indexed the tensor, which selected only the last item of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from moda.nn.discriminators import FeatureMaps

Verdict = Tensor | Sequence[FeatureMaps]

UNDECIDED = 0.5
"""`discriminator_loss`, a scale, where it answers 1/2 to everything."""


def logits_of(verdict: Verdict) -> list[Tensor]:
    """The logits of every scale."""
    return [verdict] if isinstance(verdict, Tensor) else [maps[-1] for maps in verdict]


def discriminator_loss(real: Verdict, fake: Verdict, weight: Tensor | None = None) -> Tensor:
    """Sum over scales of mean (D(real) - 1)^2 + mean D(fake)^2; `fake` from a detached picture.

    weight: (B, 1, H, W), where the verdict counts (see `weighted_mean`); everywhere without it.
    """
    terms = [
        weighted_mean((r.float() - 1).square(), weight) + weighted_mean(f.float().square(), weight)
        for r, f in zip(logits_of(real), logits_of(fake), strict=True)
    ]
    return torch.stack(terms).sum()


def generator_loss(fake: Verdict, weight: Tensor | None = None) -> Tensor:
    """Sum over scales of mean (D(fake) - 1)^2, where `weight` counts."""
    return torch.stack([weighted_mean((f.float() - 1).square(), weight) for f in logits_of(fake)]).sum()


def feature_matching_loss(
    real: Sequence[FeatureMaps], fake: Sequence[FeatureMaps], weight: Tensor | None = None
) -> Tensor:
    """Mean over scales and inner layers of L1 between the discriminator's maps; the logits are left out.

    The maps of the true picture are constants: only the generator is moved by this loss.
    """
    terms = [
        weighted_mean((f.float() - r.detach().float()).abs(), weight)
        for maps_real, maps_fake in zip(real, fake, strict=True)
        for r, f in zip(maps_real[:-1], maps_fake[:-1], strict=True)
    ]
    return torch.stack(terms).mean()


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of values (B, C, h, w), weighted by `weight` (B, 1, H, W) averaged down to h x w.

    Where real and generated picture are the same, a patch is uninformative: weights reduce the share of
    the many such patches.
    """
    if weight is None:
        return values.mean()
    height, width = values.shape[-2:]
    local = torch.nn.functional.adaptive_avg_pool2d(weight, (height, width))
    return (values * local).sum() / (values.shape[1] * local.sum()).clamp_min(1e-6)

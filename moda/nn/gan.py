"""Least-squares adversarial losses and feature matching (method.md sections 3 and 5).

A discriminator's output is one tensor of logits, or for each scale a list of maps with the logits
last (discriminators.MultiScaleDiscriminator). All scales count, and a lone tensor counts whole:
the released code indexed the tensor and so kept only the last item of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from moda.nn.discriminators import FeatureMaps

Verdict = Tensor | Sequence[FeatureMaps]


def logits_of(verdict: Verdict) -> list[Tensor]:
    """The logits of every scale."""
    return [verdict] if isinstance(verdict, Tensor) else [maps[-1] for maps in verdict]


def discriminator_loss(real: Verdict, fake: Verdict) -> Tensor:
    """Sum over scales of mean (D(real) - 1)^2 + mean D(fake)^2; `fake` from a detached picture."""
    terms = [
        (r.float() - 1).square().mean() + f.float().square().mean()
        for r, f in zip(logits_of(real), logits_of(fake), strict=True)
    ]
    return torch.stack(terms).sum()


def generator_loss(fake: Verdict) -> Tensor:
    """Sum over scales of mean (D(fake) - 1)^2."""
    return torch.stack([(f.float() - 1).square().mean() for f in logits_of(fake)]).sum()


def feature_matching_loss(real: Sequence[FeatureMaps], fake: Sequence[FeatureMaps]) -> Tensor:
    """Mean over scales and inner layers of L1 between the discriminator's maps; the logits are left out.

    The maps of the true picture are constants: only the generator is moved by this loss.
    """
    terms = [
        (f.float() - r.detach().float()).abs().mean()
        for maps_real, maps_fake in zip(real, fake, strict=True)
        for r, f in zip(maps_real[:-1], maps_fake[:-1], strict=True)
    ]
    return torch.stack(terms).mean()

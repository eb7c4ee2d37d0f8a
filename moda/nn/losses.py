"""Losses of stages 1 and 2."""

from __future__ import annotations

from torch import Tensor


def frame_l1(error: Tensor, tracked: Tensor) -> Tensor:
    """Mean of |error| (B, T, ...) over the frames where tracked (B, T) is 1, a scalar; 0 if there are none."""
    per_frame = error.abs().flatten(2).mean(-1) if error.ndim > 2 else error.abs()
    return (per_frame * tracked).sum() / tracked.sum().clamp(min=1)


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL from N(mu, exp(logvar)) to N(0, 1), each (B, T, Z): -1/2 mean(1 + logvar - mu^2 - exp(logvar)), a scalar.

    The KL term of ProbAttn (paper, section 3.1; docs/method.md, section 2, point 6).
    """
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).mean()

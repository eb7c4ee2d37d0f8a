"""Regression and latent losses of stages 1 and 2.

Dimension letters: B batch, T frames, Z latent channels.
"""

from __future__ import annotations

from torch import Tensor


def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error over everything, a scalar."""
    return (prediction - target).abs().mean()


def velocity_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 of first differences over time, (B, T, ...) -> scalar; 0 for a single frame.

    L1 on positions alone is content with lips that move too little; this asks for the movement.
    """
    if prediction.shape[1] < 2:
        return (prediction - target).sum() * 0.0
    return l1(prediction.diff(dim=1), target.diff(dim=1))


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL from N(mu, exp(logvar)) to N(0, 1): -1/2 * mean(1 + logvar - mu^2 - exp(logvar)), a scalar.

    The mean runs over batch, frames and latent channels (docs/method.md, section 2, point 6).
    """
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).mean()

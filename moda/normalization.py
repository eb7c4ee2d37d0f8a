"""Statistics of the training set as buffers of a network: physical units outside, unit variance inside."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from moda.errors import TrainingError
from moda.moments import Moments

MIN_STD = 1e-3
"""Smallest standard deviation used: the noise of a channel that never moves is not amplified."""


class Normalizer(nn.Module):
    """Standardises the trailing axes of a tensor, `Normalizer(120)` or `Normalizer(40, 3)`.

    mean, std: buffers of that shape; 0 and 1 until fitted, so an unfitted one changes nothing.
    Being buffers they travel with the weights and are no parameters.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def normalize(self, values: Tensor) -> Tensor:
        """(..., *shape) physical units -> the same, mean 0 and variance 1 over the training set."""
        return (values - self.mean) / self.std

    def denormalize(self, values: Tensor) -> Tensor:
        """The exact inverse of `normalize`."""
        return values * self.std + self.mean

    @classmethod
    def from_moments(cls, moments: Moments, *, floor: float = MIN_STD) -> Normalizer:
        """The statistics that `moments` sum up; a single value has no spread, and the floor serves."""
        fitted = cls(*moments.mean.shape)
        fitted.mean.copy_(torch.from_numpy(moments.mean))
        fitted.std.copy_(torch.from_numpy(np.maximum(np.sqrt(moments.variance), floor)))
        return fitted

    def assign(self, other: Normalizer) -> None:
        """Take the statistics of another one, in place. Raises `TrainingError` on another shape."""
        if self.mean.shape != other.mean.shape:
            raise TrainingError(f"statistics of shape {tuple(other.mean.shape)}, wanted {tuple(self.mean.shape)}")
        self.mean.copy_(other.mean)
        self.std.copy_(other.std)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.mean.shape))

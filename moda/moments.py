"""Sums from which mean and variance are computed. Light to import: those stored of a clip need no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Sums for mean and variance of many values, in float64; those of parts merge to those of the whole.

    count: number of values. mean: (*shape). squares: (*shape) sums of squared deviations from the
    mean. scatter: (K, K) sums of products of deviations, K channels flattened, or None.
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray
    scatter: np.ndarray | None = None

    @staticmethod
    def of(values: np.ndarray, *, scatter: bool = False) -> Moments:
        """Moments of (N, *shape) values, N may be 0; scatter: with the products between channels."""
        values = values.astype(np.float64)
        if len(values) == 0:
            zero = np.zeros(values.shape[1:])
            return Moments(0, zero, zero, np.zeros((zero.size, zero.size)) if scatter else None)
        mean = values.mean(axis=0)
        deviations = (values - mean).reshape(len(values), -1)
        squares = np.einsum("nk,nk->k", deviations, deviations).reshape(mean.shape)
        return Moments(len(values), mean, squares, deviations.T @ deviations if scatter else None)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets of values together (Chan, Golub and LeVeque 1979, eq. 2.1)."""
        count = self.count + other.count
        if count == 0:
            return self
        delta = other.mean - self.mean
        share = self.count * other.count / count
        scatter = None
        if self.scatter is not None and other.scatter is not None:
            scatter = self.scatter + other.scatter + share * np.outer(delta, delta)
        return Moments(
            count,
            self.mean + delta * (other.count / count),
            self.squares + other.squares + share * delta**2,
            scatter,
        )

    def absorb(self, other: Moments) -> Moments:
        """`merge`, to the last bit, that reuses the memory of this one's scatter: fast over thousands of parts."""
        if self.scatter is None or other.scatter is None or self.count + other.count == 0:
            return self.merge(other)
        merged = Moments(self.count, self.mean, self.squares).merge(other)
        delta = (other.mean - self.mean).ravel()
        products = delta[:, None] * delta
        products *= self.count * other.count / merged.count
        scatter = np.add(self.scatter, other.scatter, out=self.scatter)
        return Moments(merged.count, merged.mean, merged.squares, np.add(scatter, products, out=scatter))

    @property
    def variance(self) -> np.ndarray:
        """(*shape) mean squared deviation."""
        return self.squares / max(self.count, 1)

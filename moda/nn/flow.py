"""Conditional flow matching on low-dimensional motion, in the place of ProbAttn (kind: flow of stage 1).

Not in the paper, whose VAE (attention.ProbAttn) tends to ignore its noise; here eyes, head and torso
vary with the noise by construction. Rectified-flow form: x_t = (1 - t) x0 + t x1,
x0 ~ N(0, 1), and the network learns the velocity x1 - x0.

Dimension letters: B batch, T frames, d model width, h heads, K channels of one group,
Z latent channels (sum over the groups of their principal components).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moda.errors import TrainingError
from moda.nn.positional import fourier
from moda.nn.settings import Solver
from moda.normalization import Moments

STYLE_POSITIONS = 20.0
"""The range of positions that a style of 0..1 is embedded as: neighbouring styles are alike."""


class LinearBasis(nn.Module):
    """Whitening PCA of one motion group, in buffers: (B, T, K) <-> (B, T, k).

    encode: (x / unit - mean) @ directions / spread; decode is its inverse on the subspace.
    With k = K the round trip is exact. `unit` brings channels of different units to one scale.
    """

    unit: Tensor
    mean: Tensor
    directions: Tensor
    spread: Tensor

    def __init__(self, channels: int, components: int) -> None:
        super().__init__()
        self.register_buffer("unit", torch.ones(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("directions", torch.eye(channels, components))
        self.register_buffer("spread", torch.ones(components))

    @property
    def components(self) -> int:
        return self.directions.shape[1]

    def encode(self, x: Tensor) -> Tensor:
        return ((x / self.unit - self.mean) @ self.directions) / self.spread

    def decode(self, z: Tensor) -> Tensor:
        return ((z * self.spread) @ self.directions.T + self.mean) * self.unit

    def set_moments(self, mean: np.ndarray, covariance: np.ndarray, *, per_channel: bool) -> float:
        """Fill the buffers from mean (K,) and covariance (K, K); returns the share of variance explained.

        per_channel: bring every channel to unit variance first, for groups of mixed units.
        """
        deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        unit = np.maximum(deviation, 1e-6) if per_channel else np.ones_like(mean)
        values, vectors = np.linalg.eigh(covariance / np.outer(unit, unit))
        order = np.argsort(values)[::-1][: self.components]
        # Directions without variance get no more than a thousandth of the largest: noise stays finite.
        spread = np.sqrt(np.maximum(values[order], max(values.max() * 1e-6, 1e-12)))
        for name, array in (
            ("unit", unit),
            ("mean", mean / unit),
            ("directions", vectors[:, order]),
            ("spread", spread),
        ):
            self.get_buffer(name).copy_(torch.from_numpy(np.ascontiguousarray(array)))
        return float(values[order].sum() / max(values.sum(), 1e-12))


class FlowAttn(nn.Module):
    """Conditional flow matching over motion groups.

    groups: name -> (channels K, components k, per_channel). Z is the sum of the components,
    in the order of the mapping. Group tensors are physical: (B, T, K) or (B, T, P, 3).
    styled: the velocity depends on a number in 0..1 as well, where it is given: style (B,), NaN where it is not known.
    """

    def __init__(
        self,
        groups: Mapping[str, tuple[int, int, bool]],
        condition: int,
        *,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        ffn: int = 256,
        kernel: int = 9,
        dropout: float = 0.0,
        styled: bool = False,
    ) -> None:
        super().__init__()
        self.bases = nn.ModuleDict({name: LinearBasis(k, n) for name, (k, n, _) in groups.items()})
        self.per_channel = {name: mixed for name, (_, _, mixed) in groups.items()}
        self.sizes = [n for _, n, _ in groups.values()]
        self.latent_dim = sum(self.sizes)
        self.width = width
        self.enter = nn.Linear(self.latent_dim, width)
        self.condition = nn.Linear(condition, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.style = (
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width, bias=False)) if styled else None
        )
        self.blocks = nn.ModuleList(FlowBlock(width, heads, ffn, kernel, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, self.latent_dim)
        # Zero velocity at the start: samples begin as the noise itself, in whitened units.
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("slopes", 2.0 ** (-2.0 * torch.arange(1, heads + 1).float()), persistent=False)

    def fit_basis(self, moments: Mapping[str, Moments]) -> dict[str, float]:
        """Fit every group's basis to the training motion's moments, with their scatter.

        Returns the share of variance explained, by group. Raises `TrainingError` on no data.
        """
        kept = {}
        for name, basis in self._named_bases():
            group = moments[name]
            if group.count < 2:
                raise TrainingError(
                    f"cannot fit the motion basis: {group.count} frames of training motion, wanted at least 2"
                )
            if group.scatter is None:
                raise TrainingError(f"cannot fit the motion basis: the moments of '{name}' have no scatter")
            covariance = group.scatter / group.count
            kept[name] = basis.set_moments(group.mean.ravel(), covariance, per_channel=self.per_channel[name])
        return kept

    def encode(self, groups: Mapping[str, Tensor]) -> Tensor:
        """Physical groups, each (B, T, ...) -> whitened latents (B, T, Z)."""
        return torch.cat([basis.encode(groups[name].flatten(2)) for name, basis in self._named_bases()], dim=-1)

    def decode(self, x: Tensor) -> dict[str, Tensor]:
        """Whitened latents (B, T, Z) -> physical groups, each (B, T, K)."""
        parts = x.split(self.sizes, dim=-1)
        return {name: basis.decode(part) for (name, basis), part in zip(self._named_bases(), parts, strict=True)}

    def velocity(self, x: Tensor, t: Tensor, s: Tensor, style: Tensor | None = None) -> Tensor:
        """Velocity at x (B, T, Z), flow time t (B,) in 0..1, under the condition s (B, T, C) -> (B, T, Z)."""
        return self._velocity(x, t, self.condition(s), self._bias(x), self._styled(style))

    def _styled(self, style: Tensor | None) -> Tensor | None:
        """What is added to the embedding of the flow time, (B, d): 0 where the style is not known."""
        if self.style is None or style is None:
            return None
        embedded: Tensor = self.style(fourier(style.nan_to_num(), self.width, scale=STYLE_POSITIONS))
        return torch.where(style.isnan()[:, None], torch.zeros_like(embedded), embedded)

    def _bias(self, x: Tensor) -> Tensor:
        return distance_bias(x.shape[1], self.get_buffer("slopes")).to(x.dtype)

    def _velocity(self, x: Tensor, t: Tensor, condition: Tensor, bias: Tensor, style: Tensor | None) -> Tensor:
        """`velocity`, given what is the same at all flow times: condition (B, T, d), bias (h, T, T), style (B, d)."""
        h = self.enter(x) + condition
        time = self.time(fourier(t, self.width).to(h.dtype))
        if style is not None:
            time = time + style.to(h.dtype)
        for block in self.blocks:
            h = block(h, time, bias)
        out: Tensor = self.leave(self.norm(h))
        return out

    def loss(
        self, x1: Tensor, s: Tensor, generator: torch.Generator | None = None, style: Tensor | None = None
    ) -> Tensor:
        """Mean of |v(x_t, t, s) - (x1 - x0)|^2, a scalar; t uniform, one a sequence. x1 (B, T, Z), s (B, T, C)."""
        device = x1.device if generator is None else generator.device
        x0 = torch.randn(x1.shape, generator=generator, device=device).to(x1)
        t = torch.rand(x1.shape[0], generator=generator, device=device).to(x1)
        x_t = torch.lerp(x0, x1, t[:, None, None])
        return F.mse_loss(self.velocity(x_t, t, s, style), x1 - x0)

    def sample(
        self, noise: Tensor, s: Tensor, steps: int, solver: Solver = "euler", style: Tensor | None = None
    ) -> Tensor:
        """Carry the noise (B, T, Z) to motion latents (B, T, Z) in equal steps; deterministic given it."""
        x = noise
        step = 1.0 / steps
        condition, bias, styled = self.condition(s), self._bias(noise), self._styled(style)
        for i in range(steps):
            t = torch.full((x.shape[0],), i * step, dtype=x.dtype, device=x.device)
            slope = self._velocity(x, t, condition, bias, styled)
            if solver == "heun":
                slope = 0.5 * (slope + self._velocity(x + step * slope, t + step, condition, bias, styled))
            x = x + step * slope
        return x

    def _named_bases(self) -> list[tuple[str, LinearBasis]]:
        return [(name, basis) for name, basis in self.bases.items() if isinstance(basis, LinearBasis)]


def distance_bias(frames: int, slopes: Tensor) -> Tensor:
    """Bias of bidirectional attention, (h, T, T): -m_h * |i - j| (the form of ALiBi, Press et al. 2022).

    It depends on distances only, so a network trained on windows of 75 frames generalises to 300.
    """
    time = torch.arange(frames, device=slopes.device, dtype=slopes.dtype)
    return -slopes[:, None, None] * (time[:, None] - time[None, :]).abs()


class FlowBlock(nn.Module):
    """Pre-norm transformer block with flow time as scale, shift and gate (adaptive norm, DiT's form).

    Attention over all frames with the distance bias, then a depthwise convolution over time (it
    distinguishes past from future, which a symmetric bias cannot), then the feed-forward part.
    """

    def __init__(self, width: int, heads: int, ffn: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(3))
        self.modulation = nn.Linear(width, 9 * width)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.pointwise = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, ffn), nn.GELU(), nn.Dropout(dropout), nn.Linear(ffn, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, time: Tensor, bias: Tensor) -> Tensor:
        """h: (B, T, d); time: (B, d); bias: (heads, T, T)."""
        modulation = self._modulation(time)
        for i, norm in enumerate(self.norms):
            scale, shift, gate = modulation[3 * i : 3 * i + 3]
            x = norm(h) * (1 + scale) + shift
            x = self._attend(x, bias) if i == 0 else self._convolve(x) if i == 1 else self.feed(x)
            h = h + self.dropout((1 + gate) * x)
        return h

    def attention(self, h: Tensor, time: Tensor, bias: Tensor) -> Tensor:
        """Weights (B, heads, T, T) by which `forward` mixes frames, of the same inputs."""
        scale, shift = self._modulation(time)[:2]
        q, k, _ = self._heads(self.norms[0](h) * (1 + scale) + shift)
        return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias[None]).softmax(-1)

    def _modulation(self, time: Tensor) -> tuple[Tensor, ...]:
        return self.modulation(time)[:, None].chunk(9, dim=-1)  # nine (B, 1, d)

    def _heads(self, x: Tensor) -> Tensor:
        """Queries, keys and values, (3, B, h, T, d/h)."""
        batch, frames, width = x.shape
        projected: Tensor = self.qkv(x)
        return projected.reshape(batch, frames, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)

    def _attend(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = self._heads(x)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])  # (B, h, T, d/h)
        out: Tensor = self.project(mixed.transpose(1, 2).reshape(x.shape))
        return out

    def _convolve(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(F.gelu(self.depthwise(x.transpose(1, 2)).transpose(1, 2)))
        return out

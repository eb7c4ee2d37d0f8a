"""The network of wav2vec 2.0 (Baevski et al. 2020), with the names that its published weights have.

Its own few layers, as those of `transformers` take seconds to import, and every call of inference would wait for them.
tests/nn/test_wav2vec.py holds both against one another.

Dimension letters: B batch, N audio samples at 16 kHz, L frames at 50 Hz, T frames, C channels, H hidden width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
POSITION_KERNEL, POSITION_GROUPS = 128, 16
ACTIVATION_DROPOUT = 0.1
"""Dropout between the two linear layers of a feed-forward part."""
WEIGHT_STD = 0.02
"""Spread of linear layers' weights at the start."""
MASK_SHARE, MASK_FRAMES, FEWEST_MASKS = 0.05, 10, 2
"""SpecAugment: share of the frames that masks cover, length of one, and how many there are at least."""


class Wav2Vec(nn.Module):
    """CNN, projection and transformer; called part by part by `SpeechEncoder`."""

    def __init__(
        self,
        channels: Sequence[int],
        hidden: int,
        layers: int,
        heads: int,
        ffn: int,
        *,
        layer_norm: bool,
        bias: bool,
        pre_norm: bool,
        dropout: float,
        layerdrop: float,
        masks: bool,
    ) -> None:
        """channels: of the seven convolutions. layer_norm: one after each of them, else a group norm after the first.

        pre_norm: norms before attention and feed-forward. masks: there is something to put in the place of frames.
        """
        super().__init__()
        self.feature_extractor: nn.Module = FeatureExtractor(channels, layer_norm=layer_norm, bias=bias)
        self.feature_projection = FeatureProjection(channels[-1], hidden)
        if masks:
            self.masked_spec_embed = nn.Parameter(torch.rand(hidden))
        self.encoder = Encoder(hidden, layers, heads, ffn, pre_norm=pre_norm, dropout=dropout, layerdrop=layerdrop)
        self.apply(_initialise)

    def masked(self, hidden: Tensor) -> Tensor:
        """SpecAugment: `masked_spec_embed` in the place of random stretches of (B, T, H)."""
        batch, frames, _ = hidden.shape
        if frames <= MASK_FRAMES:
            return hidden
        starts = frames - MASK_FRAMES + 1
        count = int(MASK_SHARE * frames / MASK_FRAMES + torch.rand(()).item())
        count = min(max(count, FEWEST_MASKS), starts, frames // MASK_FRAMES)
        first = torch.rand(batch, starts).argsort(dim=1)[:, :count]
        inside = (first[..., None] + torch.arange(MASK_FRAMES)).flatten(1)
        mask = torch.zeros(batch, frames, dtype=torch.bool).scatter(1, inside, True)
        return torch.where(mask[..., None].to(hidden.device), self.masked_spec_embed.to(hidden.dtype), hidden)


class FeatureExtractor(nn.Module):
    """Samples (B, N) -> (B, C, L)."""

    def __init__(self, channels: Sequence[int], *, layer_norm: bool, bias: bool) -> None:
        super().__init__()
        inputs = [1, *channels[:-1]]
        self.conv_layers = nn.ModuleList(
            Convolution(
                *(into, out, kernel, stride), norm="layer" if layer_norm else "group" if first else "none", bias=bias
            )
            for into, out, kernel, stride, first in zip(
                inputs, channels, KERNELS, STRIDES, [True] + [False] * (len(channels) - 1), strict=True
            )
        )

    def forward(self, wave: Tensor) -> Tensor:
        x = wave[:, None]
        for layer in self.conv_layers:
            x = layer(x)
        return x


class Convolution(nn.Module):
    """Convolution over time, norm, GELU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, *, norm: str, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, bias=bias)
        self.layer_norm: nn.Module | None = None
        if norm != "none":
            self.layer_norm = nn.LayerNorm(outputs) if norm == "layer" else nn.GroupNorm(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if isinstance(self.layer_norm, nn.LayerNorm):
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        elif self.layer_norm is not None:
            x = self.layer_norm(x)
        return F.gelu(x)


class FeatureProjection(nn.Module):
    """(B, T, C) -> (B, T, H)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(channels)
        self.projection = nn.Linear(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.projection(self.layer_norm(x))
        return out


class PositionalConvolution(nn.Module):
    """Relative positions by a wide grouped convolution, (B, T, H) -> (B, T, H)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        conv = nn.Conv1d(hidden, hidden, POSITION_KERNEL, padding=POSITION_KERNEL // 2, groups=POSITION_GROUPS)
        nn.init.normal_(conv.weight, std=2 * math.sqrt(1 / (POSITION_KERNEL * hidden)))
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.conv = weight_norm(conv, dim=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x.transpose(1, 2))[..., :-1]  # an even kernel gives one frame more
        return F.gelu(out).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention over (B, T, H)."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, hidden: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.intermediate_dense = nn.Linear(hidden, ffn)
        self.output_dense = nn.Linear(ffn, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(F.gelu(self.intermediate_dense(x)), ACTIVATION_DROPOUT, self.training)
        return F.dropout(self.output_dense(x), self.dropout, self.training)


class Layer(nn.Module):
    """Attention and feed-forward, each added to its input; their norms before or after."""

    def __init__(self, hidden: int, heads: int, ffn: int, *, pre_norm: bool, dropout: float) -> None:
        super().__init__()
        self.pre_norm, self.dropout = pre_norm, dropout
        self.attention = Attention(hidden, heads, dropout)
        self.layer_norm = nn.LayerNorm(hidden)
        self.feed_forward = FeedForward(hidden, ffn, dropout)
        self.final_layer_norm = nn.LayerNorm(hidden)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attention(self.layer_norm(x) if self.pre_norm else x)
        x = x + F.dropout(attended, self.dropout, self.training)
        if self.pre_norm:
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.layer_norm(x)
        out: Tensor = self.final_layer_norm(x + self.feed_forward(x))
        return out


class Encoder(nn.Module):
    """The transformer, (B, T, H) -> (B, T, H)."""

    def __init__(
        self, hidden: int, layers: int, heads: int, ffn: int, *, pre_norm: bool, dropout: float, layerdrop: float
    ) -> None:
        super().__init__()
        self.pre_norm, self.dropout, self.layerdrop = pre_norm, dropout, layerdrop
        self.pos_conv_embed = PositionalConvolution(hidden)
        self.layer_norm = nn.LayerNorm(hidden)
        self.layers = nn.ModuleList(
            Layer(hidden, heads, ffn, pre_norm=pre_norm, dropout=dropout) for _ in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_conv_embed(x)
        x = F.dropout(x if self.pre_norm else self.layer_norm(x), self.dropout, self.training)
        for layer in self.layers:
            if self.training and self.layerdrop and torch.rand(()).item() < self.layerdrop:
                continue
            x = layer(x)
        return self.layer_norm(x) if self.pre_norm else x


def _initialise(module: nn.Module) -> None:
    """Random weights as wav2vec 2.0 starts from."""
    if isinstance(module, FeatureProjection):
        bound = math.sqrt(1 / module.projection.in_features)
        nn.init.uniform_(module.projection.weight, -bound, bound)
        nn.init.uniform_(module.projection.bias, -bound, bound)
    elif isinstance(module, Convolution):
        nn.init.kaiming_normal_(module.conv.weight)
    elif isinstance(module, Attention | FeedForward):
        for layer in module.children():
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=WEIGHT_STD)
            nn.init.zeros_(layer.bias)

"""The landmark sync network: lips and audio of the same moment map to the same direction (as SyncNet's pictures do).

SyncNet's input is pictures of the mouth; that of this network is lip landmarks without the head's motion,
which preparation has anyway. On half an hour of footage of a few dozen people it overfits unless details
are removed: lips enter as their first principal components, whitened.

No frame is ever padded: an embedding exists only where its whole receptive field does. Padding would
mark the ends of both inputs, and the network would align these.

Dimension letters: B batch, N audio samples (16 kHz), T frames (25 fps), C channels, E embedding,
F = T - 2 MARGIN_FRAMES frames that have an embedding, K lags.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moda.landmarks import N_LIPS
from moda.nn.mel import LogMel
from moda.nn.settings import LipSyncConfig

DILATIONS = (1, 2, 4)
MARGIN_FRAMES = 1 + sum(DILATIONS)
"""Frames at either end without an embedding; the receptive field is 2 MARGIN_FRAMES + 1 = 17 frames, 0.68 s."""
MIN_LIP_STD_PX = 0.5
"""Canonical pixels: lips that move less than this are not scaled up to the size of speech."""


class Block(nn.Module):
    """Residual convolution without padding: (B, C, T) -> (B, C, T - 2 dilation)."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(channels)
        self.inner = nn.Conv1d(channels, channels, 3, dilation=dilation)
        self.outer = nn.Conv1d(channels, channels, 1)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        # each frame is normalised by itself: the result must not depend on the length of the clip
        normed = self.norm(x.transpose(1, 2)).transpose(1, 2)
        change: Tensor = self.dropout(self.outer(F.gelu(self.inner(normed))))
        return x[..., self.dilation : -self.dilation] + change


class Tower(nn.Module):
    """(B, T, inputs) -> unit embeddings (B, F, E); with kernel 1 the input lacks a frame at either end already."""

    def __init__(self, inputs: int, kernel: int, config: LipSyncConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout1d(config.dropout)
        self.first = nn.Conv1d(inputs, config.channels, kernel)
        self.blocks = nn.Sequential(*(Block(config.channels, d, config.dropout) for d in DILATIONS))
        self.last = nn.Conv1d(config.channels, config.embedding, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.last(self.blocks(F.gelu(self.first(self.dropout(x.transpose(1, 2))))))
        return F.normalize(hidden.transpose(1, 2), dim=-1)


class LipSyncNet(nn.Module):
    """`lips` and `audio` give embeddings that agree, frame by frame, where the two are in step.

    `fit` sets the statistics of both inputs, before training.
    """

    basis: Tensor
    mel_mean: Tensor
    mel_spread: Tensor

    def __init__(self, config: LipSyncConfig) -> None:
        super().__init__()
        self.config = config
        self.mel = LogMel(config.bands, config.quiet)
        self.register_buffer("basis", torch.eye(3 * N_LIPS)[:, : config.components].clone())
        self.register_buffer("mel_mean", torch.zeros(self.mel.channels))
        self.register_buffer("mel_spread", torch.ones(self.mel.channels))
        self.lip_tower = Tower(2 * config.components, 1, config)
        self.audio_tower = Tower(self.mel.channels, 3, config)
        self.frame_scale = nn.Parameter(torch.tensor(2.0))
        self.curve_scale = nn.Parameter(torch.tensor(2.5))

    @torch.no_grad()
    def fit(self, moved: Tensor, levels: Tensor) -> None:
        """Statistics of training footage: lips as from `lip_motion` (n, 120), and log-mel frames (m, 4 M)."""
        _, strength, axes = torch.linalg.svd(moved, full_matrices=False)
        kept = self.config.components
        spread = strength[:kept] / len(moved) ** 0.5
        self.basis.copy_(axes[:kept].T / spread.clamp(min=1e-4))
        self.mel_mean.copy_(levels.mean(0))
        self.mel_spread.copy_(levels.std(0) + 0.1)

    def components(self, lips: Tensor, tracked: Tensor) -> Tensor:
        """Canonical lips (B, T, 40, 3), pixels, and tracked (B, T) bool -> whitened components (B, T, P)."""
        return lip_motion(lips, tracked) @ self.basis

    def levels(self, wave: Tensor, frames: int) -> Tensor:
        """Waveform (B, N) of `frames` frames -> log-mel (B, T, 4 M) about zero mean and unit spread."""
        return (torch.as_tensor(self.mel(wave, frames)) - self.mel_mean) / self.mel_spread

    def embed_lips(self, components: Tensor) -> Tensor:
        """(B, T, P) -> (B, F, E), from the components and their speed."""
        speed = components[:, 2:] - components[:, :-2]
        return torch.as_tensor(self.lip_tower(torch.cat([components[:, 1:-1], speed], dim=-1)))

    def embed_audio(self, levels: Tensor) -> Tensor:
        """(B, T, 4 M) -> (B, F, E)."""
        return torch.as_tensor(self.audio_tower(levels))

    def lips(self, lips: Tensor, tracked: Tensor) -> Tensor:
        """Canonical lips (B, T, 40, 3), pixels, and tracked (B, T) bool -> (B, F, E)."""
        return self.embed_lips(self.components(lips, tracked))

    def audio(self, wave: Tensor, frames: int) -> Tensor:
        """Waveform (B, N) of `frames` frames -> (B, F, E)."""
        return self.embed_audio(self.levels(wave, frames))


def lip_motion(lips: Tensor, tracked: Tensor) -> Tensor:
    """Lips (B, T, 40, 3) -> (B, T, 120): deviation from the median mouth, over its RMS in the clip."""
    flat = lips.flatten(2)
    seen = tracked.bool()[..., None]
    middle = flat.masked_fill(~seen, torch.nan).nanmedian(dim=1, keepdim=True).values.nan_to_num()
    away = flat - middle
    power = (away.square() * seen).sum(dim=(1, 2)) / (seen.sum(dim=(1, 2)).clamp(min=1) * flat.shape[2])
    return away / torch.sqrt(power + MIN_LIP_STD_PX**2)[:, None, None]


def whole_fields(valid: Tensor) -> Tensor:
    """(B, T) bool -> (B, F) bool: is the whole receptive field of this embedding valid?"""
    gaps = (~valid.bool()).float()[:, None]
    return F.max_pool1d(gaps, 2 * MARGIN_FRAMES + 1, stride=1)[:, 0] == 0


def lag_sums(
    picture: Tensor, audio: Tensor, weight: Tensor, audible: Tensor, reach: int, compare: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """Weighted sums of a comparison when the picture comes k frames late, k = -reach .. reach, and of weights: (B, K).

    picture, audio: (B, F, E). weight, audible: (B, F) weights of picture and audio frames, or bool. compare: of two
    (B, f, E), gives (B, f). Lag k compares the picture at frame t with the audio at frame t - k; only pairs of which
    both exist count.
    """
    frames = picture.shape[1]
    sums, totals = [], []
    for lag in range(-reach, reach + 1):
        first = max(lag, 0)
        last = max(first, frames + min(lag, 0))
        here, there = slice(first, last), slice(first - lag, last - lag)
        values = compare(picture[:, here], audio[:, there])
        pairs = weight[:, here].to(values) * audible[:, there].to(values)
        totals.append(pairs.sum(-1))
        sums.append((values.masked_fill(pairs == 0, 0.0) * pairs).sum(-1))  # values there may be NaN
    return torch.stack(sums, dim=1), torch.stack(totals, dim=1)


def lag_curves(lips: Tensor, audio: Tensor, weight: Tensor, audible: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Mean similarity of unit embeddings by lag, and the weight behind it: (B, 2 reach + 1) each, see `lag_sums`."""
    sums, total = lag_sums(lips, audio, weight, audible, reach, lambda one, two: (one * two).sum(-1))
    return sums / total.clamp(min=1e-6), total

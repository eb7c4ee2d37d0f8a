"""The paper's dual attentions (section 3.1): SpecAttn, deterministic, and ProbAttn, probabilistic.

Dimension letters: B batch, T frames, d model width, h heads.
Masks are added to attention logits: 0 admits a key, -inf excludes it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from moda.nn.positional import sinusoidal
from moda.nn.settings import SlopeKind


def causal_mask(frames: int, *, device: torch.device | None = None) -> Tensor:
    """(T, T): 0 for j <= i, -inf for the future. Not 0/1: ones would only add 1 to future logits."""
    return torch.full((frames, frames), float("-inf"), device=device).triu(1)


def alignment_mask(frames: int, *, device: torch.device | None = None) -> Tensor:
    """M_A of docs/method.md, section 2, (T, T): 0 on the diagonal, -inf elsewhere.

    Frame i attends to the audio of frame i only, so the cross-attention's weights are one and its
    output does not depend on the query.
    """
    mask = torch.full((frames, frames), float("-inf"), device=device)
    return mask.fill_diagonal_(0.0)


def head_slopes(heads: int, kind: SlopeKind) -> Tensor:
    """Slopes m of M_T, (h,): "faceformer" 2^(-2k), k = 1..h; "single" 1/256 for all heads."""
    if kind == "single":
        return torch.full((heads,), 1.0 / 256.0)
    return 2.0 ** (-2.0 * torch.arange(1, heads + 1, dtype=torch.float32))


def temporal_mask(frames: int, period: int, slopes: Tensor) -> Tensor:
    """M_T of docs/method.md, section 2, (h, T, T): -m * floor((i - j) / q) for j <= i, else -inf.

    Frames of the latest period count in full; each period further back costs m.
    """
    time = torch.arange(frames, device=slopes.device)
    age = torch.div(time[:, None] - time[None, :], period, rounding_mode="floor").to(slopes.dtype)
    return -slopes[:, None, None] * age.clamp(min=0) + causal_mask(frames, device=slopes.device)


class SpecAttn(nn.Module):
    """SpecAttn (paper, section 3.1; docs/method.md, section 2, point 5): s, s_a (B, T, d) -> s_sa (B, T, d).

    A transformer decoder, post-norm, ReLU. Target: PPE(s), masked by M_T. Memory: s_a, masked
    by M_A. The output at frame t depends on s_a up to t only.

        s_sa = Dec(target s + PPE, memory s_a; M_T, M_A), each attention softmax(Q K^T / sqrt(d / h) + M) V
        M_T(i, j) = -m_h floor((i - j) / q) for j <= i, else -inf;  m_h = 2^(-2 h)       `temporal_mask`
        M_A(i, j) = 0 for i = j, else -inf                                               `alignment_mask`
        PPE(t, 2k) = sin((t mod q) / 10000^(2k/d)), PPE(t, 2k + 1) = cos(same)           `positional.sinusoidal`
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int = 4,
        layers: int = 3,
        ffn: int = 128,
        dropout: float = 0.1,
        period: int = 25,
        slopes: SlopeKind = "faceformer",
    ) -> None:
        super().__init__()
        layer = nn.TransformerDecoderLayer(width, heads, ffn, dropout, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, layers)
        self.period = period
        self.register_buffer("slopes", head_slopes(heads, slopes), persistent=False)
        _independent_layers(self.decoder)

    def forward(self, s: Tensor, s_a: Tensor) -> Tensor:
        """s: (B, T, d) audio plus subject; s_a: (B, T, d) audio alone."""
        batch, frames, width = s.shape
        slopes: Tensor = self.get_buffer("slopes")
        mask = temporal_mask(frames, self.period, slopes).repeat(batch, 1, 1)  # M_T, (B*h, T, T): heads run fastest
        target = s + sinusoidal(frames, width, period=self.period, device=s.device)  # PPE(s)
        aligned = alignment_mask(frames, device=s.device)  # M_A
        out: Tensor = self.decoder(target, s_a, tgt_mask=mask, memory_mask=aligned)
        return out


class Latent(NamedTuple):
    """mu and logvar of the VAE's posterior, each (B, T, d)."""

    mu: Tensor
    logvar: Tensor


class ProbAttn(nn.Module):
    """ProbAttn, the paper's transformer VAE (section 3.1; docs/method.md, section 2, point 6): -> s_pa (B, T, d).

    x = PE(tile(v_s)) + s_a;  e = Enc(x);  mu, logvar = Linear(e);  z = mu + exp(logvar / 2) * noise;
    s_pa = Linear(Dec(target x with a causal mask, memory Linear(z))). Its KL term: `losses.kl_divergence`.
    """

    def __init__(self, width: int, *, heads: int = 4, layers: int = 3, ffn: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, heads, ffn, dropout, batch_first=True), layers, enable_nested_tensor=False
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(width, heads, ffn, dropout, batch_first=True), layers
        )
        self.to_mu = nn.Linear(width, width)
        self.to_logvar = nn.Linear(width, width)
        self.from_latent = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        _independent_layers(self.encoder)
        _independent_layers(self.decoder)

    def forward(self, s_a: Tensor, v_s: Tensor, noise: Tensor) -> tuple[Tensor, Latent]:
        """s_a: (B, T, d); v_s: (B, d); noise: (B, T, d), standard normal -> s_pa (B, T, d), Latent."""
        frames, width = s_a.shape[1:]
        x = s_a + v_s[:, None] + sinusoidal(frames, width, device=s_a.device)  # PE over time, no period
        encoded = self.encoder(x)  # not causal: every frame attends to all
        mu, logvar = self.to_mu(encoded), self.to_logvar(encoded)
        z = mu + torch.exp(0.5 * logvar) * noise  # sigma = exp(logvar / 2); noise at inference too
        causal = causal_mask(frames, device=x.device)
        # said: else torch compares the mask's values with those of a causal one, and the host waits for the device
        decoded = self.decoder(x, self.from_latent(z), tgt_mask=causal, tgt_is_causal=True)
        return self.out(decoded), Latent(mu, logvar)


def _independent_layers(stack: nn.TransformerEncoder | nn.TransformerDecoder) -> None:
    """Draw each layer's weights anew: PyTorch's stacks deep-copy one layer, so all start equal."""
    for parameter in stack.parameters():
        if parameter.dim() > 1 and not parameter.is_meta:
            nn.init.xavier_uniform_(parameter)

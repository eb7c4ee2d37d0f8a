"""The encoder of Whisper-tiny (Radford et al. 2022) as a front of the speech encoder.

Not in the paper. Weights: those of Smart Turn 3 (`benchmarks/whisper_encoder.py` converts them). Of its four layers
only those are built whose outputs are read, or which lie below them.

A long recording is cut into blocks at fixed times. The features of a block come from a window of 4 s that ends
`AHEAD_POSITIONS` after it, and from nothing else, so that they depend neither on the recording's length nor on
how it is handed over, and are known that soon after the block. Windows of the 8 s that the network knows cost twice as
much and give nearly the same features (r .993) and lips (correlation .761 for .759 on 7 unseen people).

Dimension letters: B batch, N audio samples at 16 kHz, K blocks, P positions (50 a second), T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from moda.nn.mel import normalise_wave
from moda.nn.settings import SpeechConfig
from moda.representation import FPS, SAMPLE_RATE

POSITION_SAMPLES = 320
"""Audio samples from one position to the next."""
KNOWN_POSITIONS, WINDOW_POSITIONS = 400, 200
"""Positions that the network knows, 8 s, and those of a window: the last of them, as it was trained on audio that ends
where a window ends.
"""
BLOCK_POSITIONS = 50
"""Positions of a block."""
AHEAD_POSITIONS = 25
"""Positions of a window after the block."""
POSITIONS_A_FRAME = round(SAMPLE_RATE / FPS / POSITION_SAMPLES)
FFT_SAMPLES, HOP_SAMPLES, MEL_BANDS = 400, 160, 80
MIN_MEL_POWER, DYNAMIC_RANGE = 1e-10, 8.0
"""Smallest power; decades below a window's loudest band where its spectra end."""
BLOCK_FRAMES = BLOCK_POSITIONS // POSITIONS_A_FRAME
WINDOW_SAMPLES = WINDOW_POSITIONS * POSITION_SAMPLES
_WINDOWS_AT_ONCE = 8


def stop_of(block: int) -> int:
    """Sample at which the window of a block ends."""
    return ((block + 1) * BLOCK_POSITIONS + AHEAD_POSITIONS) * POSITION_SAMPLES


class WhisperEncoder(nn.Module):
    """Waveform to features of some layers: (B, N), T -> (B, T, channels).

    The features of a frame are those of its positions, and of the layers in `config.read`, side by side; each layer's
    are normalised by the first norm of the next one. Weights have the names that `transformers` gives them.
    """

    rule: ClassVar[str] = f"{WINDOW_POSITIONS} {BLOCK_POSITIONS} {AHEAD_POSITIONS}"
    """What the features depend on beside weights and audio."""
    window: Tensor
    filters: Tensor

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden
        self.conv1 = nn.Conv1d(MEL_BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(KNOWN_POSITIONS, width)
        self.layers = nn.ModuleList(WhisperLayer(width, config.heads, config.ffn) for _ in range(config.layers))
        self.norms = nn.ModuleDict({str(number): nn.LayerNorm(width) for number in config.read})
        with torch.device("cpu"):  # torchaudio reads values while it makes them: not possible on "meta"
            filters = melscale_fbanks(
                FFT_SAMPLES // 2 + 1, 0.0, SAMPLE_RATE / 2, MEL_BANDS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
            )
        self.register_buffer("window", torch.hann_window(FFT_SAMPLES), persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self.requires_grad_(not config.freeze)

    @property
    def channels(self) -> int:
        """Channels of the features."""
        return POSITIONS_A_FRAME * len(self.config.read) * self.config.hidden

    def forward(self, wave: Tensor, frames: int) -> Tensor:
        return self.blocks(wave, 0, -(-frames // BLOCK_FRAMES))[:, :frames]

    def blocks(self, wave: Tensor, first: int, stop: int) -> Tensor:
        """Features of blocks [first, stop) of a recording (B, N): (B, `BLOCK_FRAMES` (stop - first), channels).

        Audio before its start and after its end is silent.
        """
        block, window = (positions * POSITION_SAMPLES for positions in (BLOCK_POSITIONS, WINDOW_POSITIONS))
        begin = stop_of(first) - window
        end = stop_of(stop - 1)
        heard = wave[:, max(0, begin) : end]
        heard = F.pad(heard, (max(0, -begin), end - max(0, begin) - heard.shape[-1]))
        windows = heard.unfold(-1, window, block).flatten(0, 1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze):
            parts = [self._features(part) for part in windows.split(_WINDOWS_AT_ONCE)]
        return torch.cat(parts).unflatten(0, (len(wave), stop - first)).flatten(1, 2)

    def _features(self, windows: Tensor, block: int = BLOCK_POSITIONS, ahead: int = AHEAD_POSITIONS) -> Tensor:
        """Windows of samples (K, N) -> the features of the block of each (K, block / `POSITIONS_A_FRAME`, channels).

        block, ahead: its positions, and those of the window after it.
        """
        stop = WINDOW_POSITIONS - ahead
        outputs = self.encode(self.spectra(windows), slice(stop - block, stop))
        return torch.cat([out.unflatten(1, (-1, POSITIONS_A_FRAME)).flatten(2) for out in outputs], dim=-1)

    def latest(self, window: Tensor, frames: int, ahead: int) -> Tensor:
        """Features of the frames that end `ahead` frames before a window of samples (N,) ends: (1, frames, channels).

        N: `WINDOW_SAMPLES`. Each call costs a window, so short blocks cost more.
        """
        return self._features(window[None], frames * POSITIONS_A_FRAME, ahead * POSITIONS_A_FRAME)

    def spectra(self, windows: Tensor) -> Tensor:
        """Log-mel spectra as Whisper has them: (K, N) samples -> (K, `MEL_BANDS`, 2 P)."""
        wave = normalise_wave(windows, self.config.quiet)
        with torch.autocast(windows.device.type, enabled=False):  # fp16 does not hold such powers
            spectra = torch.stft(
                wave, FFT_SAMPLES, HOP_SAMPLES, window=self.window, center=True, pad_mode="reflect", return_complex=True
            )
            power = spectra[..., :-1].abs().square()
            levels = torch.log10((self.filters.T @ power).clamp(min=MIN_MEL_POWER))
        loudest = levels.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(levels, loudest - DYNAMIC_RANGE) + 4.0) / 4.0

    def encode(self, spectra: Tensor, asked: slice) -> Iterator[Tensor]:
        """Spectra (K, `MEL_BANDS`, 2 P) -> the features (K, asked, width) after each layer that is read, in order.

        P: at most `KNOWN_POSITIONS`, of which the last are taken. asked: of the P positions, those whose features are
        wanted; the last layer computes no others.
        """
        x = F.gelu(self.conv2(F.gelu(self.conv1(spectra)))).transpose(1, 2)
        x = x + self.embed_positions.weight[-x.shape[1] :]
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            if number in self.config.read:
                yield self.norms[str(number)](x[:, asked])
            x = layer(x, asked if number == last else slice(None))
        if len(self.layers) in self.config.read:
            yield self.norms[str(len(self.layers))](x if self.layers else x[:, asked])


class WhisperLayer(nn.Module):
    """Self-attention and feed-forward, each normalised before and added to its input: (K, P, width) -> the same, of
    the positions that are asked for.
    """

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.self_attn = WhisperAttention(width, heads)
        self.final_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, ffn), nn.Linear(ffn, width)

    def forward(self, x: Tensor, asked: slice) -> Tensor:
        x = x[:, asked] + self.self_attn(self.self_attn_layer_norm(x), asked)
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))
        return out


class WhisperAttention(nn.Module):
    """Every position to all of its window; the key has no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(3))
        self.k_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, asked: slice) -> Tensor:
        query, key, value = (
            layer(given).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, given in ((self.q_proj, x[:, asked]), (self.k_proj, x), (self.v_proj, x))
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class RecordingFeatures:
    """The features of a recording, each block computed once and by itself: its bits depend on nothing else."""

    def __init__(self, encoder: WhisperEncoder, wave: Tensor) -> None:
        """wave: (N,), on the encoder's device."""
        self._encoder, self._wave = encoder, wave[None]
        self._blocks: dict[int, Tensor] = {}

    def between(self, start: int, stop: int) -> Tensor:
        """Frames [start, stop): (1, stop - start, channels). Blocks that end before `start` are forgotten."""
        first, last = start // BLOCK_FRAMES, -(-stop // BLOCK_FRAMES)
        self._blocks = {
            block: self._blocks[block] if block in self._blocks else self._encoder.blocks(self._wave, block, block + 1)
            for block in range(first, last)
        }
        joined = torch.cat(list(self._blocks.values()), dim=1)
        return joined[:, start - first * BLOCK_FRAMES :][:, : stop - start]

"""Normalisation of a waveform before a network reads it. Light to import: the speech encoder is not."""

from __future__ import annotations

import torch
from torch import Tensor


def normalise_wave(wave: Tensor, quiet: float) -> Tensor:
    """Zero mean and unit variance an utterance: (B, N) -> (B, N). Silence stays silent and finite.

    Audio well above `quiet` gets variance 1; a window that holds only room noise is not amplified to the
    loudness of speech, which matters when a long recording is cut into windows.
    """
    centred = wave - wave.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + quiet**2)

"""What networks that listen do to a waveform first. Light to import: the speech encoder brings transformers along."""

from __future__ import annotations

import torch
from torch import Tensor


def normalise_wave(wave: Tensor, quiet: float) -> Tensor:
    """Zero mean and unit variance an utterance: (B, N) -> (B, N). Silence stays silent and finite.

    Audio well above `quiet` gets variance 1; a window that holds only the noise of the room is
    not blown up to the loudness of speech, which matters when a long audio is cut into windows.
    """
    centred = wave - wave.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + quiet**2)

"""Network of the speech stage: the speech encoder of stage 1, with heads for training alone.

Not in the paper, which starts from wav2vec2-base. Here the small encoder learns phonetics, at the
25 frames a second at which stage 1 uses it.

Dimension letters: B batch, N audio samples, T video frames, S phoneme symbols, M mel bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from moda.nn.flow import LinearBasis
from moda.nn.wav2vec import SpeechEncoder
from moda.representation import FPS, SAMPLE_RATE
from moda.stages.speech.config import NetworkConfig

TEACHER_FRAMES_A_VIDEO_FRAME = 2
"""Teacher frames (50 Hz) in a video frame (25 fps)."""
MIN_LOG_POSTERIOR = -12.0
"""Smallest log posterior: smaller ones are clipped to it."""
HOP_SAMPLES, WINDOW_SAMPLES, MEL_FLOOR, MEL_SPREAD = 320, 400, 1e-6, 4.0


@dataclass(frozen=True)
class SpeechPrediction:
    """logits: (B, 2T, S) of the phoneme symbols. mel: (B, 2T, M), in the units of `log_mel`.

    features: (B, T, channels), the input of stage 1.
    """

    logits: Tensor
    mel: Tensor
    features: Tensor


class SpeechNet(nn.Module):
    """Waveform (B, N) -> SpeechPrediction; N = 640 T. The encoder's weights start with 'wav2vec.'."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.wav2vec = SpeechEncoder(config.wav2vec)
        self.phonemes = nn.Linear(config.wav2vec.hidden, TEACHER_FRAMES_A_VIDEO_FRAME * config.symbols)
        self.mel = nn.Linear(config.wav2vec.hidden, TEACHER_FRAMES_A_VIDEO_FRAME * config.mels)
        # Principal components of the teacher's log posteriors: the targets of the `wav2vec.phonetic` channels.
        self.basis = LinearBasis(TEACHER_FRAMES_A_VIDEO_FRAME * config.symbols, max(1, config.wav2vec.phonetic))

    def forward(self, wave: Tensor) -> SpeechPrediction:
        frames = round(wave.shape[1] * FPS / SAMPLE_RATE)
        hidden = self.wav2vec.hidden(wave, frames)  # (B, T, hidden)
        return SpeechPrediction(
            self.phonemes(hidden).reshape(len(wave), TEACHER_FRAMES_A_VIDEO_FRAME * frames, self.config.symbols),
            self.mel(hidden).reshape(len(wave), TEACHER_FRAMES_A_VIDEO_FRAME * frames, self.config.mels),
            self.wav2vec.features_of(hidden),
        )

    def components(self, posteriors: Tensor) -> Tensor:
        """Log posteriors (B, 2T, S) -> their whitened principal components a video frame (B, T, `phonetic`)."""
        return self.basis.encode(by_video_frame(posteriors))


def by_video_frame(posteriors: Tensor) -> Tensor:
    """Log posteriors (..., 2T, S) -> those of a video frame side by side (..., T, 2S), at least `MIN_LOG_POSTERIOR`:
    differences among improbable symbols carry no information.
    """
    pairs = posteriors.clamp(min=MIN_LOG_POSTERIOR).unflatten(-2, (-1, TEACHER_FRAMES_A_VIDEO_FRAME))
    return pairs.flatten(-2)


@lru_cache(maxsize=4)
def _mel_bank(mels: int) -> Tensor:
    return melscale_fbanks(512 // 2 + 1, 0.0, SAMPLE_RATE / 2, mels, SAMPLE_RATE)  # (257, M)


def log_mel(wave: Tensor, mels: int) -> Tensor:
    """Log-mel frames at 50 Hz: (B, N) -> (B, N // 320, M), frame i centred on sample 320 i.

    The mean over the crop is subtracted, so that loudness has no effect; the standard deviation is about 1.
    """
    window = torch.hann_window(WINDOW_SAMPLES, device=wave.device)
    spectrum = torch.stft(
        wave, 512, HOP_SAMPLES, WINDOW_SAMPLES, window, center=True, pad_mode="constant", return_complex=True
    )
    power = spectrum.abs().square().transpose(1, 2)[:, : wave.shape[1] // HOP_SAMPLES]  # (B, 2T, 257)
    mel = torch.log(power @ _mel_bank(mels).to(wave.device) + MEL_FLOOR)
    return (mel - mel.mean(dim=(1, 2), keepdim=True)) / MEL_SPREAD


def build(config: NetworkConfig) -> SpeechNet:
    """The network with weights still to be loaded: none to start from are read."""
    return SpeechNet(config.model_copy(update={"wav2vec": config.wav2vec.without_initial_weights()}))

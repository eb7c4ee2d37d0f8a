"""Log-mel frames at the video rate."""

import math

import pytest
import torch

from moda.nn.mel import SPECTRA_A_FRAME, LogMel, MelFront, normalise_wave
from moda.nn.wav2vec import SpeechConfig, SpeechEncoder

QUIET = 0.01


def tone(hertz: float, frames: int) -> torch.Tensor:
    time = torch.arange(frames * 640) / 16_000
    return 0.3 * torch.sin(2 * math.pi * hertz * time)[None]


@pytest.mark.parametrize("frames", [1, 2, 25, 300])
def test_exactly_t_frames_and_finite_in_silence(frames: int) -> None:
    mel = LogMel(40, QUIET)
    for wave in (torch.zeros(2, frames * 640), torch.randn(2, frames * 640)):
        levels = mel(wave, frames)
        assert levels.shape == (2, frames, SPECTRA_A_FRAME * 40) == (2, frames, mel.channels)
        assert torch.isfinite(levels).all()


def test_a_higher_tone_lights_a_higher_band() -> None:
    mel = LogMel(40, QUIET)
    bands = [
        int(mel(tone(hertz, 10), 10)[0, 5].reshape(SPECTRA_A_FRAME, 40).mean(0).argmax()) for hertz in (200, 800, 3000)
    ]
    assert bands[0] < bands[1] < bands[2]


def test_a_click_is_heard_in_its_own_frame() -> None:
    wave = torch.zeros(1, 10 * 640)
    wave[0, 6 * 640 + 320] = 1.0
    levels = LogMel(40, QUIET)(wave, 10)[0].sum(-1)
    assert int(levels.argmax()) == 6


def test_the_front_end_keeps_the_time_and_hears_a_click_around_its_frame() -> None:
    torch.manual_seed(0)
    front = MelFront(20, 16, QUIET).eval()
    wave = 0.1 * torch.randn(1, 20 * 640)
    clicked = wave.clone()
    clicked[0, 10 * 640 + 320] += 0.5
    out, other = front(wave, 20), front(clicked, 20)
    assert out.shape == (1, 16, 20)
    # Loudness is taken over the window, so that everything moves a little; the click's own frames move most.
    change = (out - other)[0].abs().sum(0)
    assert int(change.argmax()) in (10, 11)
    assert change[8:14].sum() > 0.8 * change.sum()


def test_an_encoder_over_spectra_gives_its_phonetic_channels_on_and_freezes_whole() -> None:
    config = SpeechConfig(
        front="mel", mel_bands=20, phonetic=6, hidden=16, layers=1, heads=2, ffn=16, conv_dim=8, spec_augment=False,
        freeze=True,
    )  # fmt: skip
    encoder = SpeechEncoder(config)
    assert encoder.channels == 6 and encoder(torch.randn(2, 6400), 10).shape == (2, 10, 6)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    for parameter in encoder.parameters():
        parameter.requires_grad_(True)  # as a trainer does between trainables
    assert not encoder(torch.randn(1, 6400), 10).requires_grad


def test_a_frozen_encoder_gets_no_gradient_and_the_rest_does() -> None:
    config = SpeechConfig(hidden=16, layers=1, heads=2, ffn=16, conv_dim=8, freeze=True, spec_augment=False)
    encoder = SpeechEncoder(config)
    head = torch.nn.Linear(16, 1)
    head(encoder(torch.randn(1, 6400), 10)).sum().backward()
    assert head.weight.grad is not None
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize(("level", "wanted"), [(0.0, 0.0), (0.01, 0.5**0.5), (0.03, 0.9**0.5), (1.0, 1.0)])
def test_sound_about_as_loud_as_silence_is_not_blown_up(level: float, wanted: float) -> None:
    """A square wave on an offset, its silence at an RMS of 0.01: variance 1/2 at that level, 9/10 at three times it."""
    wave = 0.2 + level * torch.tensor([[1.0, -1.0] * 50])
    torch.testing.assert_close(normalise_wave(wave, 0.01), wanted * torch.tensor([[1.0, -1.0] * 50]), atol=1e-4, rtol=0)

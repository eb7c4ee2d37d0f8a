"""Contrast of lips, and the gate that closes them in silence."""

from __future__ import annotations

import numpy as np
import pytest

from moda.lips import PauseConfig, clip_mean, mouth_gate, with_contrast
from moda.representation import SAMPLE_RATE


def speech(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


def with_gap(filling: np.ndarray) -> np.ndarray:
    return np.concatenate([speech(2), filling, speech(2)]).astype(np.float32)


def test_speech_is_left_alone_and_silence_is_not() -> None:
    assert mouth_gate(speech(2), 50, PauseConfig()).min() == 1.0
    assert mouth_gate(0.0005 * speech(2), 50, PauseConfig()).max() == 0.0  # -86 dB, nothing else: no speech
    assert mouth_gate(0.0005 * speech(2), 50, PauseConfig(level_db=-100)).min() == 1.0


@pytest.mark.parametrize("level", [0.0, 0.01, 0.014])  # nothing, -40 and -37 dB below the speech
def test_lips_rest_in_a_pause_even_if_it_is_not_quite_silent(level: float) -> None:
    gate = mouth_gate(with_gap(level * speech(1)), 125, PauseConfig())
    assert gate[:50].min() > 0.9 and gate[77:].min() > 0.9
    assert gate[55:73].max() < 0.05  # from 0.2 s after the audio to just before it comes back
    assert np.abs(np.diff(gate)).max() < 0.45  # eased, not cut


def test_a_pause_as_loud_as_half_of_speech_or_as_short_as_a_closure_is_none() -> None:
    assert mouth_gate(with_gap(0.3 * speech(1)), 125, PauseConfig()).min() == 1.0
    assert mouth_gate(with_gap(np.zeros(5 * 640)), 105, PauseConfig()).min() == 1.0
    assert mouth_gate(with_gap(np.zeros(5 * 640)), 105, PauseConfig(seconds=0.2)).min() < 0.2


TIME = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
NOISES = {
    "constant": np.ones(len(TIME)),
    "rumble of 15 Hz": np.sin(2 * np.pi * 15 * TIME),
    "hum of 50 Hz": np.sin(2 * np.pi * 50 * TIME),
    "hum of 60 Hz": np.sin(2 * np.pi * 60 * TIME),
    "harmonics of 50 Hz": sum(np.sin(2 * np.pi * 50 * k * TIME + k) / k for k in range(1, 60)),
    "harmonics of 60 Hz": sum(np.sin(2 * np.pi * 60 * k * TIME + k) / k for k in range(1, 60)),
    "hiss": np.random.default_rng(2).standard_normal(len(TIME)),
}


@pytest.mark.parametrize("noise", NOISES)
def test_lips_rest_in_a_pause_that_is_filled_with_noise_20_db_below_speech(noise: str) -> None:
    wave = with_gap(np.zeros(SAMPLE_RATE))
    added = NOISES[noise] / np.sqrt(np.mean(NOISES[noise] ** 2)) * 0.01
    gate, clean = (mouth_gate(audio.astype(np.float32), 125, PauseConfig()) for audio in (wave + added, wave))
    assert gate[55:73].max() < 0.05
    assert np.abs(gate - clean).max() < 0.5 and (np.abs(gate - clean) > 0.1).sum() <= 4  # a frame at each end


@pytest.mark.parametrize("samples", [320, 640, 961, 1_600])
def test_a_last_frame_cut_short_is_heard(samples: int) -> None:
    frames = max(1, round(samples / 640))
    assert mouth_gate(speech(1)[:samples], frames, PauseConfig()).tolist() == [1.0] * frames


def test_contrast_enlarges_the_movement_and_keeps_its_mean() -> None:
    lips = np.random.default_rng(0).normal(3.0, 1.0, (50, 40, 3))
    wider = with_contrast(lips, 2.0)
    assert np.allclose(wider.mean(0), lips.mean(0))
    assert np.allclose(wider.std(0), 2 * lips.std(0))
    assert np.allclose(with_contrast(lips, 1.0), lips)
    assert np.allclose(with_contrast(lips[:9], 2.0, clip_mean(lips)), wider[:9])


def test_the_mean_of_an_hour_is_exact() -> None:
    lips = np.full((90_000, 2, 3), 7.3, np.float32)
    assert np.abs(clip_mean(lips) - np.float32(7.3)).max() < 1e-5

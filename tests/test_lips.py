"""Contrast of lips, and the gate that closes them in silence."""

from __future__ import annotations

import numpy as np
import pytest

from moda.lips import clip_mean, mouth_gate, with_contrast
from moda.representation import SAMPLE_RATE


def speech(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


def test_mouth_gate_leaves_speech_alone() -> None:
    quiet = 0.001 * speech(2)  # -80 dB
    assert mouth_gate(quiet * 100, 50, -70).min() == 1.0
    assert mouth_gate(quiet, 50, -70).max() == 0.0
    assert mouth_gate(quiet, 50, -90).min() == 1.0
    onset = np.concatenate([np.zeros(16_000), speech(1)]).astype(np.float32)
    gate = mouth_gate(onset, 50, -70)
    assert gate[25:].min() > 0.9 and gate[:15].max() < 0.01
    assert np.abs(np.diff(gate)).max() < 0.3


def test_a_long_sound_is_gated_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = speech(4)
    wave[20_000:40_000] = 0
    whole = mouth_gate(wave, 100, -70)
    assert whole.min() < 1e-6 and whole.max() == 1
    for frames in (1, 7, 99):
        monkeypatch.setattr("moda.lips._BLOCK", frames)
        assert np.array_equal(mouth_gate(wave, 100, -70), whole)


@pytest.mark.parametrize("samples", [320, 640, 961, 1_600])
def test_a_last_frame_cut_short_is_heard(samples: int) -> None:
    frames = max(1, round(samples / 640))
    assert mouth_gate(speech(1)[:samples], frames, -70).tolist() == [1.0] * frames


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

"""Contrast of lips, and the gate that closes them in long silences."""

from __future__ import annotations

import numpy as np
import pytest

from moda.landmarks import CENTRAL_LIP_PAIRS, LIPS
from moda.lips import LOOK_AHEAD_FRAMES, PauseConfig, mouth_gate, with_contrast
from moda.representation import SAMPLE_RATE


def speech(seconds: float, seed: int = 1) -> np.ndarray:
    """Noise whose level changes as syllables do, by 8 dB and more, every fifth of a second."""
    random, count = np.random.default_rng(seed), round(seconds * SAMPLE_RATE)
    decibels = random.uniform(-2, 0, count // 3200 + 1) - np.resize([0, 12, 9, 15], count // 3200 + 1)
    syllables = 10 ** (decibels / 20)
    return (random.normal(0, 0.1, count) * np.repeat(syllables, 3200)[:count]).astype(np.float32)


def with_gap(filling: np.ndarray) -> np.ndarray:
    return np.concatenate([speech(2), filling, speech(2, 2)]).astype(np.float32)


def test_speech_is_left_alone_and_silence_is_not() -> None:
    assert mouth_gate(speech(4), 100, PauseConfig()).min() == 1.0
    assert mouth_gate(0.0003 * speech(2), 50, PauseConfig()).max() == 0.0  # -90 dB, nothing else: no speech
    assert mouth_gate(0.0003 * speech(2), 50, PauseConfig(level_db=-110)).min() == 1.0


def test_lips_come_to_rest_in_a_second_of_silence_and_are_not_snapped_shut() -> None:
    gate = mouth_gate(with_gap(np.zeros(SAMPLE_RATE)), 125, PauseConfig())
    assert gate[:59].min() > 0.9 and gate[78:].min() > 0.9
    assert gate[67:72].max() == 0.0
    assert np.abs(np.diff(gate)).max() < 0.3


@pytest.mark.parametrize("frames", [5, 12, 20])
def test_in_a_shorter_pause_lips_are_the_networks(frames: int) -> None:
    assert mouth_gate(with_gap(np.zeros(frames * 640)), 100 + frames, PauseConfig()).min() == 1.0


def test_a_second_of_quiet_speech_is_none() -> None:
    assert mouth_gate(with_gap(0.3 * speech(2, 3)), 150, PauseConfig()).min() == 1.0


def test_a_click_or_a_minute_of_silence_does_not_change_what_speech_is() -> None:
    click = np.zeros(20 * 640, np.float32)
    click[:640] = 1.0
    wave = np.concatenate([click, 0.1 * speech(4), np.zeros(70 * SAMPLE_RATE, np.float32), 0.1 * speech(4)])
    gate = mouth_gate(wave, len(wave) // 640, PauseConfig())
    assert gate[25:118].min() == 1.0 and gate[-95:].min() == 1.0
    assert gate[160:1860].max() == 0.0


TIME = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
NOISES = {
    "constant": np.ones(len(TIME)),
    "rumble of 15 Hz": np.sin(2 * np.pi * 15 * TIME),
    "hum of 50 Hz": np.sin(2 * np.pi * 50 * TIME),
    "hum of 60 Hz": np.sin(2 * np.pi * 60 * TIME),
    "harmonics of 50 Hz": sum(np.sin(2 * np.pi * 50 * k * TIME + k) / k for k in range(1, 60)),
    "harmonics of 60 Hz": sum(np.sin(2 * np.pi * 60 * k * TIME + k) / k for k in range(1, 60)),
    "music": sum(np.sin(2 * np.pi * f * TIME) for f in (220.0, 277.2, 329.6)) * (0.6 + 0.4 * np.sin(6 * TIME)),
    "breath": np.abs(np.sin(np.pi * TIME)) * np.random.default_rng(3).standard_normal(len(TIME)),
    "hiss": np.random.default_rng(2).standard_normal(len(TIME)),
}


@pytest.mark.parametrize("noise", NOISES)
def test_lips_rest_in_a_silence_that_is_filled_with_something_20_db_below_speech(noise: str) -> None:
    wave = with_gap(np.zeros(2 * SAMPLE_RATE))
    voiced = wave[wave != 0]
    added = NOISES[noise] / np.sqrt(np.mean(NOISES[noise] ** 2)) * 0.1 * np.sqrt(np.mean(voiced**2))
    gate, clean = (mouth_gate(audio.astype(np.float32), 150, PauseConfig()) for audio in (wave + added, wave))
    assert gate[68:95].max() < 0.05
    assert (np.abs(gate - clean) > 0.1).sum() <= 10


def test_a_frame_depends_on_bounded_look_ahead() -> None:
    """Samples later than the gate's look-ahead and the filter's reach change nothing."""
    wave = with_gap(np.zeros(2 * SAMPLE_RATE))
    whole = mouth_gate(wave, 150, PauseConfig())
    for frames in (20, 55, 62, 70, 95, 110):
        cut = wave.copy()
        cut[(frames + LOOK_AHEAD_FRAMES + 1) * 640 :] = speech(6, 5)[
            : len(wave) - (frames + LOOK_AHEAD_FRAMES + 1) * 640
        ]
        np.testing.assert_array_equal(mouth_gate(cut, 150, PauseConfig())[:frames], whole[:frames])


@pytest.mark.parametrize("samples", [320, 640, 961, 1_600])
def test_a_last_frame_cut_short_is_heard(samples: int) -> None:
    frames = max(1, round(samples / 640))
    assert mouth_gate(speech(1)[:samples], frames, PauseConfig()).tolist() == [1.0] * frames


def test_contrast_enlarges_the_movement_about_the_mean() -> None:
    lips, mean = moving_lips(np.linspace(20, 30, 50))
    for contrast in (2.0, 0.5):
        changed = with_contrast(lips, contrast, mean)
        assert changed.dtype == np.float32
        np.testing.assert_allclose(changed - mean, contrast * (lips - mean), atol=1e-5)


def test_contrast_closes_lips_and_does_not_cross_them() -> None:
    gaps = np.linspace(-2, 20, 100)  # pixels further apart than at rest; the mean is 10
    lips, mean = moving_lips(gaps)
    made = with_contrast(lips, 1.5, mean)
    found = made[:, LIPS.index(14), 1] - made[:, LIPS.index(13), 1]
    np.testing.assert_allclose(found, np.maximum(10 + 1.5 * (gaps - 10), np.minimum(gaps, 0)), atol=1e-4)
    assert (found >= np.minimum(gaps, 0) - 1e-4).all() and np.abs(np.diff(found)).max() < 0.4, "without a jump"


def moving_lips(gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Random lips whose central inner pairs are so many pixels further apart than at rest; their mean, 10 apart."""
    rng = np.random.default_rng(0)
    lips = rng.normal(3.0, 1.0, (len(gaps), 40, 3)).astype(np.float32)
    mean = np.full((40, 3), 2.5, np.float32)
    for upper, lower in CENTRAL_LIP_PAIRS:
        lips[:, LIPS.index(upper), 1], lips[:, LIPS.index(lower), 1] = 3 - gaps / 2, 3 + gaps / 2
        mean[LIPS.index(upper), 1], mean[LIPS.index(lower), 1] = -2.0, 8.0
    return lips, mean

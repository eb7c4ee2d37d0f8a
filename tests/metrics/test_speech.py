import sys

import numpy as np
import pytest

from moda.errors import ConfigError
from moda.metrics.speech import levels, long_stretches, speech_frames, stretches
from tests.metrics.waves import noise

FRAME_SAMPLES = 640


def test_levels_of_a_sine_by_hand() -> None:
    sine = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * FRAME_SAMPLES) / 16000)
    assert levels(sine, 2) == pytest.approx([10 * np.log10(0.125)] * 2, abs=0.01)
    assert levels(np.zeros(FRAME_SAMPLES), 2).tolist() == [-120, -120]


def test_pauses_shorter_than_a_silence_are_speech() -> None:
    wave = noise((1, 0.1), (0.28, 0.0), (1, 0.1), (0.4, 0.0))
    speech = speech_frames(wave, 100)
    assert len(speech) == 67  # as far as there is audio
    assert np.flatnonzero(~speech).tolist() == list(range(57, 67))
    assert len(speech_frames(wave, 10)) == 10 and len(speech_frames(np.zeros(0), 10)) == 0


def test_stretches_and_those_that_last() -> None:
    found = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1], bool)
    assert stretches(found) == [(0, 2), (3, 6), (8, 9)]
    assert np.flatnonzero(long_stretches(found, 3 / 25)).tolist() == [3, 4, 5]


def test_a_detector_that_is_not_there_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad", None)  # as if not installed
    with pytest.raises(ConfigError, match=r"pip install 'moda\[silero\]'"):
        speech_frames(noise((1, 0.1)), 25, "silero")
    with pytest.raises(ConfigError, match="no detector of speech 'loud'"):
        speech_frames(noise((1, 0.1)), 25, "loud")  # type: ignore[arg-type]


def test_silero_hears_speech_and_not_silence() -> None:
    pytest.importorskip("silero_vad", reason="the extra is not installed")
    from moda.locations import shipped
    from moda.media.audio import read_audio

    wave = np.concatenate([read_audio(shipped("assets/demo.wav"))[: 4 * 16000], np.zeros(2 * 16000, np.float32)])
    speech = speech_frames(wave, 150, "silero")
    assert speech[:100].mean() > 0.8 and not speech[110:].any()

"""A phoneme recogniser: frame-wise log posteriors of recordings, for the speech stage and for eval's closed lips.

It is the package `hama` (Apache-2.0), an extra; whatever has the form of `Teacher` may stand in its place.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from moda.data.speech import TEACHER_HOP
from moda.errors import DataError
from moda.representation import SAMPLE_RATE

CHUNK_SAMPLES, MARGIN_SAMPLES = 30 * SAMPLE_RATE, 2 * SAMPLE_RATE
"""Long recordings are labelled in pieces with this much context on both sides."""


class Teacher(Protocol):
    """Frame-wise phoneme log posteriors at 50 Hz."""

    name: str
    symbols: list[str]

    def __call__(self, wave: np.ndarray) -> np.ndarray:
        """(N,) float32 at 16 kHz -> (T, symbols), T about N / 320."""
        ...


class Hama:
    """The teacher `hama`: IPA symbols, a word boundary and, last, the CTC blank."""

    def __init__(self) -> None:
        try:
            from importlib.metadata import version

            from hama.asr import ASRModel
        except ImportError as error:
            raise DataError(
                f"the phoneme recogniser needs the package hama ({error}); pip install 'moda[phonemes]'"
            ) from error
        self._model = ASRModel()
        self.name = f"hama {version('hama')}"
        self.symbols = list(self._model.decoder_tokens)

    def __call__(self, wave: np.ndarray) -> np.ndarray:
        feeds = {"waveform": wave[None], "waveform_lengths": np.array([len(wave)])}
        posteriors: np.ndarray = self._model.session.run(["log_probs"], feeds)[0][0]
        return posteriors


def label(teacher: Teacher, wave: np.ndarray) -> np.ndarray:
    """Log posteriors of an audio recording of any length: (N,) -> float16 (round(N / 320), symbols).

    Pieces of half a minute are labelled with two seconds of context and cut on teacher frames.
    """
    frames = max(1, round(len(wave) / TEACHER_HOP))
    pieces = []
    for start in range(0, len(wave), CHUNK_SAMPLES):
        low, high = max(0, start - MARGIN_SAMPLES), min(len(wave), start + CHUNK_SAMPLES + MARGIN_SAMPLES)
        posteriors = teacher(wave[low:high])
        skip = (start - low) // TEACHER_HOP
        pieces.append(posteriors[skip : skip + CHUNK_SAMPLES // TEACHER_HOP])
    whole = np.concatenate(pieces)[:frames]
    return np.pad(whole, ((0, frames - len(whole)), (0, 0)), mode="edge").astype(np.float16)

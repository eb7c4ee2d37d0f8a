"""Cepstra against a reference that follows the definition sum by sum."""

from __future__ import annotations

import math

import numpy as np
import pytest

from moda.nn.mfcc import mfcc


def reference(wave: np.ndarray) -> list[list[float]]:
    """Slow: direct Fourier sums, triangles bin by bin, direct cosine transform."""
    pcm = [float(round(float(x) * 32768)) for x in wave]
    sharp = [pcm[0]] + [pcm[i] - 0.97 * pcm[i - 1] for i in range(1, len(pcm))]
    count = 1 if len(sharp) <= 400 else 1 + math.ceil((len(sharp) - 400) / 160)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)

    def hertz(i: int) -> float:
        return 700 * (10 ** (i * 2595 * math.log10(1 + 8000 / 700) / 27 / 2595) - 1)

    corner = [math.floor(513 * hertz(i) / 16000) for i in range(28)]
    rows = []
    for n in range(count):
        frame = sharp[160 * n : 160 * n + 400]
        frame += [0.0] * (400 - len(frame))
        power = [abs(z) ** 2 / 512 for z in turns @ np.array(frame)]
        levels = []
        for m in range(26):
            low, middle, high = corner[m : m + 3]
            total = sum((k - low) / (middle - low) * power[k] for k in range(low, middle))
            total += sum((high - k) / (high - middle) * power[k] for k in range(middle, high))
            levels.append(math.log(total or np.finfo(float).eps))
        row = []
        for c in range(13):
            size = math.sqrt((1 if c == 0 else 2) / 26)
            value = size * sum(level * math.cos(math.pi * c * (2 * m + 1) / 52) for m, level in enumerate(levels))
            row.append(value * (1 + 11 * math.sin(math.pi * c / 22)))
        row[0] = math.log(sum(power) or np.finfo(float).eps)
        rows.append(row)
    return rows


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 1700])
def test_cepstra_are_those_of_the_definition(samples: int) -> None:
    random = np.random.default_rng(samples)
    time = np.arange(samples) / 16000
    wave = (0.3 * np.sin(2 * np.pi * 220 * time) + 0.05 * random.standard_normal(samples)).astype(np.float32)
    found, wanted = mfcc(wave), np.array(reference(wave))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-6


def test_digital_silence_is_finite_and_a_second_has_99_frames() -> None:
    silence = mfcc(np.zeros(16000, np.float32))
    assert silence.shape == (99, 13) and np.isfinite(silence).all()


@pytest.mark.parametrize("wave", [np.zeros(0, np.float32), np.zeros((2, 500), np.float32)])
def test_other_shapes_are_refused(wave: np.ndarray) -> None:
    with pytest.raises(ValueError, match="wanted"):
        mfcc(wave)

"""Audio and pictures from arrays: every usual kind means the same, everything else is told in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from moda.errors import MediaError
from moda.media.in_memory import audio_from_array, picture_from_array

RATE = 16_000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / RATE)).astype(np.float32)
STEREO = np.stack([TONE * 1.5, TONE * 0.5])
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("audio", "error"),
    [
        (TONE.astype(np.float64), 1e-7),
        (TONE.astype(np.float16), 1e-3),
        (TONE.astype(">f4"), 0),
        (TONE.tolist(), 0),
        (np.round(TONE * 32768).astype(np.int16), 2e-5),
        (np.round(TONE * 2.0**31).astype(np.int32), 1e-7),
        (np.round(TONE * 128 + 128).astype(np.uint8), 4e-3),
        (TONE[None], 0),
        (TONE[:, None], 0),
        (STEREO, 1e-7),
        (STEREO.T, 1e-7),
        (np.round(STEREO.T * 32768).clip(-32768, 32767).astype(np.int16), 4e-5),
        (torch.from_numpy(TONE), 0),
        (torch.from_numpy(TONE).requires_grad_(), 0),
        (torch.from_numpy(TONE).to(torch.bfloat16)[None], 4e-3),
        (torch.from_numpy(np.round(STEREO * 2.0**14).astype(np.int16)) * 2, 1e-4),
    ],
)
def test_audio_of_every_kind_means_the_same(audio: Any, error: float) -> None:
    wave = audio_from_array(audio)
    assert wave.dtype == np.float32 and wave.shape == TONE.shape and wave.flags.c_contiguous
    assert np.abs(wave - TONE).max() <= error


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100.0, np.int64(48_000)])
def test_audio_of_any_rate_lasts_as_long_and_sounds_the_same(rate: int) -> None:
    given = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate)) / rate)
    wave = audio_from_array(np.stack([given, given], axis=1), rate)
    assert len(wave) == RATE
    truth = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert np.abs(wave - truth)[200:-200].max() < 2e-3


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_two_channels_of_opposite_sign_are_no_silence(rate: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    wave = audio_from_array(np.stack([tone, -tone]), rate)
    assert len(wave) == RATE and np.abs(wave).max() == pytest.approx(0.5, abs=0.02)


def test_floats_of_another_scale_are_scaled_down() -> None:
    assert np.allclose(audio_from_array(TONE.astype(np.float64) * 30_000), TONE / TONE.max(), atol=1e-6)
    assert np.isfinite(audio_from_array(TONE.astype(np.float64) * 1e300)).all()


def spoiled(value: float) -> np.ndarray:
    wave = TONE.copy()
    wave[[3, 5]] = value
    return wave


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0), r"lasts 0\.000 s \(0 samples at 16000 Hz\), wanted at least 0\.1 s"),
        (np.zeros((2, 0)), r"shape \(2, 0\)|lasts 0\.000 s"),
        (np.zeros(1599), r"lasts 0\.100 s \(1599 samples"),
        (spoiled(np.nan), "2 samples of the audio are not finite"),
        (spoiled(-np.inf), "2 samples of the audio are not finite"),
        (np.zeros((1, 1, 16_000)), r"shape \(1, 1, 16000\), wanted \(N,\), \(N, channels\) or \(channels, N\)"),
        (np.zeros((900, 900)), r"shape \(900, 900\), wanted"),
        (np.zeros((8, 8)), r"shape \(8, 8\), wanted"),
        (np.zeros((9, 16_000)), "at most 8 channels"),
        (np.zeros(16_000, np.int64), "the audio is of int64, wanted floats"),
        (np.zeros(16_000, bool), "the audio is of bool, wanted floats"),
        (np.zeros(16_000, complex), "the audio is of complex128, wanted floats"),
        (0.5, "the audio is a float, wanted an array of samples"),
        (None, "the audio is a NoneType, wanted an array"),
        ("voice.wav", "the audio is a str, wanted an array of samples; a file is read with .*read_audio"),
        ([[1.0], [1.0, 2.0]], "the audio is no array"),
        (np.array([object()] * 4), "the audio is a ndarray, wanted an array"),
    ],
)
def test_what_is_no_audio_is_told(audio: Any, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        audio_from_array(audio)


@pytest.mark.parametrize("rate", [0, -16_000, 1, 2**31, 16_000.5, float("nan"), float("inf"), True, "16000", None])
def test_a_silly_rate_is_told(rate: Any) -> None:
    with pytest.raises(MediaError, match=r"sample_rate is .*, wanted a whole number of Hz from 2000 to 768000"):
        audio_from_array(TONE, rate)


def test_audio_that_is_right_already_is_not_copied() -> None:
    assert np.shares_memory(audio_from_array(TONE), TONE)


@pytest.mark.parametrize(
    "image",
    [
        PICTURE,
        PICTURE[:, ::-1][:, ::-1],
        PICTURE.astype(np.int64),
        PICTURE.astype(np.float64),
        (PICTURE / 255.0).astype(np.float32),
        PICTURE.astype(np.uint16) * 257,
        PICTURE.transpose(2, 0, 1),
        np.dstack([PICTURE, np.full((40, 50), 255, np.uint8)]),
        torch.from_numpy(PICTURE),
        torch.from_numpy(PICTURE).permute(2, 0, 1) / 255,
        Image.fromarray(PICTURE),
        PICTURE.tolist(),
    ],
)
def test_a_picture_of_every_kind_means_the_same(image: Any) -> None:
    pixels = picture_from_array(image)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    assert np.array_equal(pixels, PICTURE)


@pytest.mark.parametrize("image", [PICTURE[..., 0], PICTURE[..., :1], PICTURE[None, ..., 0], PICTURE[..., 0] / 255.0])
def test_grey_becomes_three_equal_channels(image: np.ndarray) -> None:
    assert np.array_equal(picture_from_array(image), np.repeat(PICTURE[..., :1], 3, axis=2))
    assert np.array_equal(picture_from_array(Image.fromarray(PICTURE[..., 0])), picture_from_array(PICTURE[..., 0]))


def test_transparency_is_laid_over_white() -> None:
    clear = np.dstack([PICTURE, np.zeros((40, 50), np.uint8)])
    assert (picture_from_array(clear) == 255).all()
    assert (picture_from_array(Image.fromarray(clear)) == 255).all()


def test_a_resized_picture_may_overshoot() -> None:
    values = PICTURE / 255.0
    values[0, 0], values[0, 1] = -0.03, 1.04
    assert picture_from_array(values)[0, :2].tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((40, 50, 2), np.uint8), r"shape \(40, 50, 2\), wanted \(H, W, 3\) RGB"),
        (np.zeros((1, 3, 40, 50), np.uint8), r"shape \(1, 3, 40, 50\), wanted"),
        (np.zeros(40, np.uint8), r"shape \(40,\), wanted"),
        (np.zeros((0, 50, 3), np.uint8), "it is empty"),
        (np.full((40, 50, 3), np.nan), "not finite"),
        (PICTURE / 127.5 - 1, r"values are -1 .* 1 \(float64\), wanted 0 \.\. 255 or 0 \.\. 1"),
        (PICTURE.astype(np.float32) * 257, "values are 0 .. 6.5.*float32"),
        (PICTURE.astype(np.int16) - 9, r"values are -9 \.\. 246 \(int16\)"),
        (np.zeros((40, 50, 3), bool), "the picture is of bool, wanted uint8"),
        (np.zeros((40, 50, 3), complex), "the picture is of complex128, wanted uint8"),
        ("me.png", "the picture is a str, wanted an array of pixels; a file is read with .*read_picture"),
        (None, "the picture is a NoneType"),
    ],
)
def test_what_is_no_picture_is_told(image: Any, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        picture_from_array(image)

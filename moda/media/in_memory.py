"""Audio and pictures that a caller holds in memory: arrays of any usual kind become what files become.

Arrays are numpy's, torch's on any device, or what numpy makes an array of. What is ambiguous is refused.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
from PIL import Image

from moda.errors import MediaError
from moda.media.audio import MIN_SECONDS, mixed, resample
from moda.media.container import SAMPLE_RATES_HZ
from moda.representation import SAMPLE_RATE

MAX_CHANNELS = 8
"""Of audio: an array of two dimensions has the smaller one for its channels."""
_FULL_SCALE = {"int8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}
"""The number that stands for 1 in audio of whole numbers; other types have none."""
_COLOURS = (1, 3, 4)
"""Channels of a picture: grey, RGB, RGB with transparency."""
_OVERSHOOT = 0.1
"""Of white, by which resized pictures of floats may go beyond black and white."""

log = logging.getLogger(__name__)


def audio_from_array(audio: Any, sample_rate: Any = SAMPLE_RATE) -> np.ndarray:
    """Audio of any rate to float32 (N,) in [-1, 1] at `SAMPLE_RATE`, as `read_audio` gives it.

    audio: (N,), (N, channels) or (channels, N); floats of -1 .. 1, or int8, int16, int32, uint8 of full scale.
    sample_rate: Hz. Channels are averaged, but of two that would cancel the louder is taken (`mixed`); floats beyond 1
    are scaled down to it, which is logged. Raises `MediaError` for a wrong shape or type, no samples,
    NaN, rate, under `MIN_SECONDS`.
    """
    rate = checked_rate(sample_rate)
    channels = channels_from_array(audio, "the audio")
    if channels.shape[1] < MIN_SECONDS * rate:
        seconds = channels.shape[1] / rate
        raise MediaError(
            f"the audio lasts {seconds:.3f} s ({channels.shape[1]} samples at {rate} Hz), wanted at least "
            f"{MIN_SECONDS} s"
        )
    if len(channels) == 1:
        wave = channels[0]
    elif len(channels) == 2:
        loudest = max(1.0, float(np.abs(channels).max()))
        pair = np.stack([resample((channel / loudest).astype(np.float32), rate) for channel in channels])
        wave, rate = mixed(pair, "the audio").astype(np.float64) * loudest, SAMPLE_RATE
    else:
        wave = channels.mean(axis=0, dtype=np.float64)
    peak = float(np.abs(wave).max())
    if peak > 1.0 and np.abs(channels).max() > 1.0:  # not where the filter alone overshoots
        log.info("samples of the audio reach %.3g: scaled down to 1", peak)
        wave = wave / peak
    return np.ascontiguousarray(resample(wave.astype(np.float32, copy=False), rate))


def channels_from_array(audio: Any, name: str) -> np.ndarray:
    """Audio as `audio_from_array` takes it to floats (channels, N), 1 full scale; `name` is for the message.

    Raises `MediaError` for a wrong shape or type and for NaN.
    """
    samples = _to_numpy(audio, name.removeprefix("the "), "samples; a file is read with moda.media.audio.read_audio")
    kind = samples.dtype.name
    if samples.dtype.kind != "f" and kind not in _FULL_SCALE:
        raise MediaError(f"{name} is of {kind}, wanted floats of -1 .. 1, or int16, int32, int8 or uint8")
    if samples.ndim == 2 and min(samples.shape) <= MAX_CHANNELS and samples.shape[0] != samples.shape[1]:
        channels = samples if samples.shape[0] < samples.shape[1] else samples.T
    elif samples.ndim == 1:
        channels = samples[None]
    else:
        raise MediaError(
            f"{name} has shape {samples.shape}, wanted (N,), (N, channels) or (channels, N) with at most "
            f"{MAX_CHANNELS} channels"
        )
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise MediaError(f"{int((~np.isfinite(samples)).sum())} samples of {name} are not finite (NaN or infinite)")
    if kind in _FULL_SCALE:
        channels = (channels - (_FULL_SCALE[kind] if kind == "uint8" else 0.0)) / _FULL_SCALE[kind]
    return channels


def picture_from_array(image: Any) -> np.ndarray:
    """A picture to RGB uint8 (H, W, 3), as `read_picture` gives it.

    image: (H, W), (H, W, C) or (C, H, W) with C 1 (grey), 3 (RGB) or 4 (RGBA, laid over white), or one of Pillow's;
    whole numbers of 0 .. 255 (uint16: to 65535 where they exceed 255), floats of 0 .. 1 or 0 .. 255. OpenCV's BGR
    looks the same as RGB: convert it first. Raises `MediaError` for another shape, type or range.
    """
    if (
        isinstance(image, Image.Image)
        and image.mode not in ("L", "RGB", "RGBA")
        and not image.mode.startswith(("I", "F"))
    ):
        image = image.convert("RGBA" if "transparency" in image.info or "A" in image.getbands() else "RGB")
    pixels = _to_numpy(image, "picture", "pixels; a file is read with moda.media.picture.read_picture")
    shape = pixels.shape
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    elif pixels.ndim == 3 and shape[2] not in _COLOURS and shape[0] in _COLOURS:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim != 3 or pixels.shape[2] not in _COLOURS:
        raise MediaError(f"the picture has shape {shape}, wanted (H, W, 3) RGB, or (H, W), (H, W, 4), (3, H, W)")
    if not pixels.size:
        raise MediaError(f"the picture has shape {shape}: it is empty")
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    white = _white(pixels)
    values = pixels.astype(np.float32) * (255.0 / white)
    if values.shape[2] == 4:
        opaque = values[..., 3:] / 255.0
        values = values[..., :3] * opaque + 255.0 * (1.0 - opaque)
    bytes_ = np.clip(values + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(bytes_, (*bytes_.shape[:2], 3)))


def _white(pixels: np.ndarray) -> float:
    """The value that stands for white; raises `MediaError` where the values fit none."""
    kind = pixels.dtype.kind
    if kind not in "uif":
        raise MediaError(f"the picture is of {pixels.dtype}, wanted uint8, or floats of 0 .. 1")
    low, high = float(pixels.min()), float(pixels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise MediaError("the picture holds values that are not finite (NaN or infinite)")
    if kind == "f":
        white = 1.0 if high <= 2.0 else 255.0
        if low >= -_OVERSHOOT * white and high <= (1 + _OVERSHOOT) * white:
            return white
    elif low >= 0 and (high <= 255 or pixels.dtype == np.uint16):
        return 255.0 if high <= 255 else 65535.0
    raise MediaError(f"the picture's values are {low:.4g} .. {high:.4g} ({pixels.dtype}), wanted 0 .. 255 or 0 .. 1")


def checked_rate(rate: Any) -> int:
    """A sample rate, Hz; raises `MediaError` for what is none."""
    low, high = SAMPLE_RATES_HZ
    number = isinstance(rate, int | float | np.integer | np.floating) and not isinstance(rate, bool)
    if not number or not low <= rate <= high or rate != int(rate):
        raise MediaError(f"sample_rate is {rate!r}, wanted a whole number of Hz from {low} to {high}")
    return int(rate)


def _to_numpy(values: Any, name: str, wanted: str) -> np.ndarray:
    """An array of numbers; `name` and `wanted` are for the message."""
    if hasattr(values, "detach"):  # a tensor of torch, of which this layer knows nothing else
        values = values.detach().cpu()
        values = values.float().numpy() if str(values.dtype) == "torch.bfloat16" else values.numpy()
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise MediaError(f"the {name} is no array: {error}; wanted {wanted}") from error
    if array.dtype.kind not in "biufc" or array.ndim == 0:
        raise MediaError(f"the {name} is a {type(values).__name__}, wanted an array of {wanted}")
    return array

"""Colours of a picture to sRGB: colour profiles (ICC), and the HDR codings PQ and HLG."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

PQ, HLG = 16, 18
"""Transfer functions as ITU-T H.273 numbers them; so are primaries: 1 sRGB's, 9 BT.2020, 12 Display P3."""
WHITE_NITS = 203.0
"""Brightness of a white page in HDR (ITU-R BT.2408)."""
HLG_PEAK_NITS, HLG_GAMMA = 1000.0, 1.2
SHOULDER_START = 0.75
"""From this share of white on, highlights are compressed, so that those above white keep their shape."""
_TO_SRGB = {
    9: np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32),
    12: np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]], np.float32),
}
_ROWS = 256

log = logging.getLogger(__name__)


def to_srgb(picture: Image.Image, profile: bytes | None, source: Path | str) -> Image.Image:
    """A picture of any mode without transparency as sRGB of mode RGB.

    profile: its ICC profile, if it has one; one that is damaged or does not fit the picture is ignored with a warning.
    """
    if picture.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return _transformed(picture, ImageCms.ImageCmsProfile(lab))
    if picture.mode not in ("RGB", "L", "CMYK"):
        picture = picture.convert("RGB")
    if profile:
        try:
            described = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(described):
                return _transformed(picture, described)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            log.warning("%s: its colour profile cannot be used (%s): colours may be off", source, error)
    return picture.convert("RGB")


def _transformed(picture: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    done = ImageCms.profileToProfile(
        picture, profile, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )  # fmt: skip
    assert done is not None  # it is one where the picture is changed in place
    return done


class HdrCoding(NamedTuple):
    """Primaries and transfer function of an HDR picture, as ITU-T H.273 numbers them."""

    primaries: int
    transfer: int


def hdr_coding(head: bytes) -> HdrCoding | None:
    """How a PNG or AVIF with this beginning codes HDR; None if it is none."""
    for tag, width in ((b"cICP", 1), (b"colrnclx", 2)):
        at = head.find(tag)
        if at >= 0:
            start = at + len(tag)
            numbers = [int.from_bytes(head[start + i * width : start + (i + 1) * width], "big") for i in (0, 1)]
            return HdrCoding(*numbers) if numbers[1] in (PQ, HLG) else None
    return None


def hdr_to_srgb(picture: np.ndarray, coding: HdrCoding) -> np.ndarray:
    """Coded values (H, W, 3) uint8 -> sRGB uint8: white of 203 nits is white, highlights above it are compressed."""
    levels = np.arange(256, dtype=np.float64) / 255
    light = (_pq_nits(levels) / WHITE_NITS if coding.transfer == PQ else _hlg_scene(levels)).astype(np.float32)
    result = np.empty_like(picture)
    for row in range(0, len(picture), _ROWS):
        linear = light[picture[row : row + _ROWS]]
        if coding.transfer == HLG:
            brightness = linear @ np.array([0.2627, 0.6780, 0.0593], np.float32)
            linear *= brightness[..., None] ** (HLG_GAMMA - 1) * (HLG_PEAK_NITS / WHITE_NITS)
        if coding.primaries in _TO_SRGB:
            linear = linear @ _TO_SRGB[coding.primaries].T
        linear = np.maximum(linear, 0)
        top = np.maximum(linear.max(axis=-1, keepdims=True), 1e-6)
        over = (top - SHOULDER_START) / (1 - SHOULDER_START)
        linear *= np.where(over > 0, SHOULDER_START + (1 - SHOULDER_START) * np.tanh(over), top) / top
        coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        result[row : row + _ROWS] = np.clip(coded * 255 + 0.5, 0, 255)
    return result


def _pq_nits(signal: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084."""
    root = signal ** (32 / 2523)
    return 10000 * (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)


def _hlg_scene(signal: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100: light of the scene, 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)

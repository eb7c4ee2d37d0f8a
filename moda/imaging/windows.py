"""The parts of a frame that the refining renderer works in: a window around the mouth, and one around both eyes.

Inside its window the network works in the *region* and nowhere else, so what the warp has right stays as it is: in full
on the mouth or the eyes with their lids, by half on the face around them, not at all at the window's border.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from moda.geometry import mouth_centre
from moda.imaging.drawing import polygon_mask
from moda.imaging.warping import PixelBox
from moda.landmarks import EYE_ENDS, OUTER_LIPS
from moda.representation import EYES_WINDOW_SHARES, FRAME, WINDOW_SHARE, WindowPart

REGION_GROWTH = 1.3
"""The mouth's outline: the outer lips, scaled about their centre."""
REGION_FEATHER = 0.012
"""Sigma of the region's soft edge, as a share of the picture's side."""
FACE_STRENGTH = 0.5
"""The region's value on the face around: the share of the warp that paint may replace there."""
FACE_RADIUS, FACE_EDGE = 0.47, 0.12
"""How far around the mouth window's centre that goes, and the width of its soft edge, as shares of its side."""
EYE_SEMI_AXES = (0.8, 0.55)
"""An eye's outline: an ellipse with these semi-axes along and across the line between its corners, in its widths."""
EYES_EDGE = 0.08
"""Width of the soft edge that the eyes' region has at the window's border, as a share of the window's width."""
BLUR_REACH_SIGMAS = 5
"""Where OpenCV's Gaussian kernel has ended."""
_OUTLINE = np.linspace(0, 2 * np.pi, 25)[:-1]


def window_of(part: WindowPart, landmarks: np.ndarray, size: int) -> PixelBox:
    """Window of a part for landmarks (478, 3), inside a size x size picture."""
    return mouth_window(landmarks, size) if part == "mouth" else eyes_window(landmarks, size)


def region_of(part: WindowPart, landmarks: np.ndarray, size: int, window: PixelBox) -> np.ndarray:
    """How far the network may change each pixel of a part's window, (height, width) float32 in 0..1."""
    return paint_region(landmarks, size, window) if part == "mouth" else eyes_region(landmarks, size, window)


def mouth_window(landmarks: np.ndarray, size: int) -> PixelBox:
    """Window around the mouth of landmarks (478, 3): a square of `WINDOW_SHARE`, inside a size x size picture."""
    side = round(size * WINDOW_SHARE)
    return _around(mouth_centre(landmarks), side, side, size)


def eyes_window(landmarks: np.ndarray, size: int) -> PixelBox:
    """Window around both eyes, of `EYES_WINDOW_SHARES`, likewise."""
    width, height = (round(size * share) for share in EYES_WINDOW_SHARES)
    return _around(landmarks[np.ravel(EYE_ENDS)].mean(axis=0), width, height, size)


def _around(centre: np.ndarray, width: int, height: int, size: int) -> PixelBox:
    x, y = centre[:2] * (size / FRAME)
    left, top = (
        int(np.clip(round(x - width / 2), 0, size - width)),
        int(np.clip(round(y - height / 2), 0, size - height)),
    )
    return PixelBox(left, top, width, height)


def mouth_region(landmarks: np.ndarray, size: int) -> np.ndarray:
    """The mouth: the grown outer lips with a soft edge, (size, size) float32."""
    return cv2.GaussianBlur(polygon_mask(grown_lips(landmarks), size), (0, 0), REGION_FEATHER * size)


def grown_lips(landmarks: np.ndarray) -> np.ndarray:
    """The mouth region's outline for landmarks (478, 3): (P, 2), pixels of the square frame."""
    lips = landmarks[list(OUTER_LIPS), :2]
    centre = lips.mean(axis=0)
    grown: np.ndarray = centre + REGION_GROWTH * (lips - centre)
    return grown


def eye_outlines(landmarks: np.ndarray) -> list[np.ndarray]:
    """The eye regions' outlines, one an eye: (P, 2), pixels of the square frame. Lids move inside them."""
    outlines = []
    for inner, outer in EYE_ENDS:
        along = 0.5 * (landmarks[outer, :2] - landmarks[inner, :2])
        across = np.array([-along[1], along[0]])
        centre = 0.5 * (landmarks[outer, :2] + landmarks[inner, :2])
        reach, lift = (2 * share for share in EYE_SEMI_AXES)
        outlines.append(centre + reach * np.cos(_OUTLINE)[:, None] * along + lift * np.sin(_OUTLINE)[:, None] * across)
    return outlines


def paint_region(landmarks: np.ndarray, size: int, window: PixelBox) -> np.ndarray:
    """The mouth's: 1 on the mouth, `FACE_STRENGTH` around it, 0 at the window's border, (side, side) float32."""
    mouth = _soft([grown_lips(landmarks)], size, window)
    return np.maximum(mouth, around_the_mouth(window.width))


def eyes_region(landmarks: np.ndarray, size: int, window: PixelBox) -> np.ndarray:
    """The eyes': 1 on the eyes and lids, `FACE_STRENGTH` around them, 0 at the border, (height, width) float32."""
    fade = towards_the_border(window.width, window.height)
    return fade * np.maximum(_soft(eye_outlines(landmarks), size, window), FACE_STRENGTH)


def _soft(outlines: list[np.ndarray], size: int, window: PixelBox) -> np.ndarray:
    """Filled polygons of the square frame with a soft edge in a window, drawn and blurred in its surroundings alone."""
    reach = math.ceil(BLUR_REACH_SIGMAS * REGION_FEATHER * size)
    side = max(window.width, window.height) + 2 * reach
    corner = np.array([window.left - reach, window.top - reach])
    mask = np.zeros((side, side), np.float32)
    for outline in outlines:
        np.maximum(mask, polygon_mask((outline * (size / FRAME) - corner) * (FRAME / side), side), out=mask)
    mask = mask[: window.height + 2 * reach, : window.width + 2 * reach]
    return cv2.GaussianBlur(mask, (0, 0), REGION_FEATHER * size)[reach:-reach, reach:-reach]


@lru_cache(maxsize=4)
def around_the_mouth(side: int) -> np.ndarray:
    """A disc of `FACE_STRENGTH` with a soft edge, (side, side) float32."""
    across = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    disc = FACE_STRENGTH * _smooth((FACE_RADIUS - np.hypot(across[:, None], across[None, :])) / FACE_EDGE)
    disc.setflags(write=False)
    return disc


@lru_cache(maxsize=4)
def towards_the_border(width: int, height: int) -> np.ndarray:
    """1 inside a window, falling to 0 at its border, (height, width) float32."""
    down, across = (np.minimum(np.arange(n), np.arange(n)[::-1]).astype(np.float32) for n in (height, width))
    fade = _smooth(np.minimum(down[:, None], across[None, :]) / (EYES_EDGE * width))
    fade.setflags(write=False)
    return fade


def _smooth(share: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and smooth between."""
    inside = np.clip(share, 0, 1)
    curve: np.ndarray = inside * inside * (3 - 2 * inside)
    return curve


def cut(picture: np.ndarray, window: PixelBox) -> np.ndarray:
    """The part of a picture (H, W, ...) inside a window: a view, so writing to it writes to the picture."""
    left, top, width, height = window
    return picture[top : top + height, left : left + width]

"""Seam: does the border of an animated square show where it was composited into its whole picture?

Dimension letters: H W height and width. Pictures are RGB uint8, (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice

import numpy as np

from moda.imaging.framing import Square, read_square
from moda.media.video import read_frames
from moda.metrics.image import luma
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.representation import FPS

FRAME_STEP = 5
"""Every so many frames one is scored."""
STEP_FLOOR_GREY_LEVELS = 1.0
"""Grey level added to both steps: without it a flat wall divides by nothing."""
MAX_SAME_PICTURE_GREY_LEVELS = 8.0
"""Mean difference, grey levels, up to which what lies around the square is the true video's first frame."""


@metric(
    name="seam",
    label="seam",
    unit="1",
    better="one",
    source="usual definition: gradient across the border against that of the source",
    needs=("tracks", "pictures"),
)
def seam(clip: ClipPair) -> Value:
    """Mean step in luma across the border of the animated square, every 5th frame, over the step there in the true
    video's first frame, from which it was made (both plus 1 grey level); 1 where the border does not show, less where
    it is smoothed over. Only for videos of the whole picture that say where their square is, as infer's do.
    """
    pictures = clip.pictures
    assert not isinstance(pictures, NotAvailable)  # they are needed, so they are there
    video = pictures.generated_video.path
    square = read_square(video)
    if square is None:
        return NotAvailable("the video does not say where its square was")
    frames = read_frames(video, fps=FPS)
    first = next(frames)
    height, width = first.shape[:2]
    source = next(read_frames(pictures.true_video.path, fps=None, size=(width, height)))
    inside = square_mask(height, width, square)
    if not border(inside)[0].any() and not border(inside)[1].any():
        return NotAvailable("the square is the whole picture, it has no border")
    around = np.abs(luma(first) - luma(source))[~inside].mean()
    if around > MAX_SAME_PICTURE_GREY_LEVELS:
        return NotAvailable("the picture around the square is not the true video's first frame")
    return seam_ratio(islice(chain([first], frames), 0, None, FRAME_STEP), source, inside)


def square_mask(height: int, width: int, square: Square) -> np.ndarray:
    """(H, W) bool: True on the pixels most of which lie in the square; it may reach over the picture's border."""
    left, right = round(square.left), round(square.left + square.width)
    top, bottom = round(square.top), round(square.top + square.height)
    mask = np.zeros((height, width), bool)
    mask[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return mask


def border(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the border of a mask (H, W) is crossed going down, (H - 1, W), and going right, (H, W - 1): bool."""
    return inside[1:] != inside[:-1], inside[:, 1:] != inside[:, :-1]


def border_step(picture: np.ndarray, inside: np.ndarray) -> float:
    """Mean |difference| in luma of the pixels on the two sides of the border of `inside` (H, W), grey levels.

    Raises ValueError for another shape, or a mask that has no border inside the picture.
    """
    if inside.shape != picture.shape[:2]:
        raise ValueError(f"picture {picture.shape} and mask {inside.shape} do not fit together")
    down, right = border(inside)
    if not (down.any() or right.any()):
        raise ValueError("the mask has no border inside the picture")
    light = luma(picture)
    across = (np.diff(light, axis=0)[down], np.diff(light, axis=1)[right])
    return float(np.abs(np.concatenate(across)).mean(dtype=np.float64))


def seam_ratio(frames: Iterable[np.ndarray], source: np.ndarray, inside: np.ndarray) -> float:
    """(mean `border_step` of the frames + 1) / (`border_step` of the source + 1)."""
    steps = [border_step(frame, inside) for frame in frames]
    return (float(np.mean(steps)) + STEP_FLOOR_GREY_LEVELS) / (border_step(source, inside) + STEP_FLOOR_GREY_LEVELS)

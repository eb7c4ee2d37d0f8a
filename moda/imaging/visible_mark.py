"""A line of text in the corner of every frame, for those who look at a video."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from moda.errors import ConfigError

HEIGHT_SHARE = 0.045
"""Of the frame's shorter side: the size of the letters."""
MIN_HEIGHT_PX = 10
MAX_LENGTH = 80


def check_mark(text: str) -> None:
    """Raise `ConfigError` unless the text can be drawn: one line of Latin letters."""
    if not text.strip() or len(text) > MAX_LENGTH or not text.isprintable():
        raise ConfigError(f"the visible mark should be one line of 1 to {MAX_LENGTH} letters")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ConfigError(f"the visible mark holds '{error.object[error.start]}', wanted Latin letters") from error


class VisibleMark:
    """Draws a text into the lower left corner of frames of one size, white with a dark rim."""

    def __init__(self, text: str, size: tuple[int, int]) -> None:
        """size: width and height of the frames. The text is made smaller until it fits."""
        check_mark(text)
        width, height = size
        letters = max(MIN_HEIGHT_PX, round(HEIGHT_SHARE * min(size)))
        while True:
            font = ImageFont.load_default(letters)
            left, top, right, bottom = font.getbbox(text, stroke_width=1)
            if right - left <= 0.95 * width or letters <= 4:
                break
            letters -= 1
        pad = max(2, letters // 2)
        drawn = Image.new("RGBA", (min(width, int(right - left) + 2 * pad), min(height, int(bottom - top) + 2 * pad)))
        ImageDraw.Draw(drawn).text(
            (pad - left, pad - top),
            text,
            font=font,
            fill=(255, 255, 255, 230),
            stroke_width=1,
            stroke_fill=(0, 0, 0, 200),
        )
        layer = np.asarray(drawn, np.float32)
        self._colour, self._opaque = layer[..., :3], layer[..., 3:] / 255

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """A copy of an (H, W, 3) uint8 frame with the text."""
        height, width = self._opaque.shape[:2]
        marked = frame.copy()
        corner = marked[-height:, :width]
        corner[:] = np.rint(corner * (1 - self._opaque) + self._colour * self._opaque).astype(np.uint8)
        return marked

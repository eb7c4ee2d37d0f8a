"""What a training of the renderer shows of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

MAX_ROWS = 6
"""Frames of each kind of window that are shown still."""
MAX_VIDEO_SIDE, MAX_VIDEO_FRAMES = 256, 24
"""Pixels and frames of the moving preview."""


def pictures_of(windows: Sequence[tuple[Mapping[str, Tensor], np.ndarray]]) -> dict[str, np.ndarray]:
    """A sheet and a video of each kind of window: a batch of inputs and truth, and what was made (B, h, w, 3) uint8."""
    rows, videos = [], []
    for shown, made in windows:
        names = [name for name in ("condition", "reference", "warped") if name in shown]
        truth = _frames(shown["target"])
        columns = [*(_frames(shown[name]) for name in names), made, truth]
        rows += [np.concatenate([column[i] for column in columns], axis=1) for i in range(min(MAX_ROWS, len(made)))]
        step = -(-made.shape[1] // MAX_VIDEO_SIDE)
        videos.append(np.concatenate([each[:MAX_VIDEO_FRAMES, ::step, ::step] for each in (made, truth)], axis=2))
    return {"frames": np.concatenate(rows, axis=0), "moving": np.concatenate(videos, axis=1)}


def _frames(pictures: Tensor) -> np.ndarray:
    return pictures.permute(0, 2, 3, 1).cpu().numpy()

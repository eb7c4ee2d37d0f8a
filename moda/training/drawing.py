"""Pictures (H, W, 3) and videos (T, H, W, 3), uint8 RGB, that stages draw for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

COLOURS = ((235, 235, 235), (255, 150, 40), (90, 180, 255))
"""Of the first (the truth), second (the prediction) and third curve or cloud."""
BACKGROUND = 24
MAX_VIDEO_FRAMES = 75
MAX_MAP_SIDE = 96
"""Side of one attention map, pixels; longer windows are reduced to it."""


def draw_curves(curves: Sequence[np.ndarray], width: int = 600, height: int = 160) -> np.ndarray:
    """Curves of one length, each (T,), on a common scale -> (height, width, 3) uint8; the grey line is zero."""
    picture = np.full((height, width, 3), BACKGROUND, np.uint8)
    low = min(0.0, *(float(curve.min()) for curve in curves))
    high = max(low + 1e-6, *(float(curve.max()) for curve in curves))
    margin = 8

    def row(value: np.ndarray) -> np.ndarray:
        share = (np.nan_to_num(value) - low) / (high - low)
        return np.round(height - 1 - margin - share * (height - 1 - 2 * margin)).astype(int).clip(0, height - 1)

    picture[row(np.zeros(1))[0]] = 80
    for curve, colour in zip(curves, COLOURS, strict=False):
        at = np.linspace(0, len(curve) - 1, width)
        rows = row(np.interp(at, np.arange(len(curve)), curve))
        for x in range(width):  # from one column's height to the next one's: a line without holes
            first, last = sorted((rows[max(0, x - 1)], rows[x]))
            picture[first : last + 1, x] = colour
    return picture


def draw_points(clouds: Sequence[np.ndarray], size: int = 320) -> np.ndarray:
    """Point clouds (P, 2) on a common scale -> (size, size, 3) uint8; the first white, the second orange."""
    return draw_moving_points([cloud[None] for cloud in clouds], size)[0]


def draw_moving_points(clouds: Sequence[np.ndarray], size: int = 240) -> np.ndarray:
    """Moving point clouds, each (T, P, 2), on a common scale -> (T, size, size, 3) uint8, at most `MAX_VIDEO_FRAMES`.

    The first is white, the second orange.
    """
    clouds = [np.nan_to_num(cloud[:MAX_VIDEO_FRAMES]) for cloud in clouds]
    low = np.min([cloud.min(axis=(0, 1)) for cloud in clouds], axis=0)
    reach = max(float((np.max([cloud.max(axis=(0, 1)) for cloud in clouds], axis=0) - low).max()), 1e-6)
    video = np.full((len(clouds[0]), size, size, 3), BACKGROUND, np.uint8)
    for cloud, colour in zip(clouds, COLOURS, strict=False):
        at = ((cloud - low) / reach * (size - 17) + 8).astype(int).clip(0, size - 2)
        frame = np.arange(len(video))[:, None]
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            video[frame, at[..., 1] + dy, at[..., 0] + dx] = colour
    return video


def draw_maps(layers: Sequence[Tensor]) -> np.ndarray:
    """Attention weights of each layer, (h, T, S) in 0..1 -> a picture: a row a layer, a column a head.

    Within a map queries run down, keys to the right; white is the largest weight of the query.
    """
    rows = []
    for weights in layers:
        scaled = (weights / weights.amax(-1, keepdim=True).clamp(min=1e-9)).float()
        height, width = (min(side, MAX_MAP_SIDE) for side in scaled.shape[1:])
        tiles = F.pad(F.adaptive_avg_pool2d(scaled[None], (height, width))[0], (1, 1, 1, 1), value=0.3)
        rows.append(torch.cat(tuple(tiles), dim=1))
    grey = (255 * torch.cat(rows)).round().byte().cpu().numpy()
    return np.repeat(grey[..., None], 3, axis=-1)

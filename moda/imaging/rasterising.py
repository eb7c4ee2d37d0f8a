"""Triangles of a batch of frames drawn on a device: which is the last over each pixel.

The pixels are those of OpenCV's `fillConvexPoly` with `LINE_8` and fixed-point corners, to the last one: rows between
two edges that are followed down in 1/65536 pixel, without the lowest row, and the three edges as lines of one pixel.
Only edges that cross the picture's border may differ, which OpenCV clips first. All sizes follow from the corners,
which are on the host, so nothing waits for the device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from moda.device import upload
from moda.imaging.drawing import SUBPIXEL_BITS

_BITS = 16
_ONE, _HALF = 1 << _BITS, 1 << (_BITS - 1)


def last_drawn(polygons: np.ndarray, frame: np.ndarray, frames: int, size: int, device: torch.device) -> Tensor:
    """Draw triangles (N, 3, 2), fixed-point pixels, in their order, each into its frame (N,).

    Returns (frames, size, size) int32: 1 + the number of the last triangle drawn over a pixel, 0 where there is none.
    """
    corners = polygons.astype(np.int64) << (_BITS - SUBPIXEL_BITS)
    drawn = torch.zeros(frames * size * size + 1, dtype=torch.int32, device=device)  # the last one: beside the picture
    for triangle, x, y, inside in (_filled(corners, size, device), _outlines(corners, size, device)):
        pixel = (upload(frame.astype(np.int64), device)[triangle] * size + y) * size + x
        pixel = torch.where(inside, pixel, drawn.numel() - 1)
        drawn.scatter_reduce_(0, pixel, (triangle + 1).to(torch.int32), "amax")
    return drawn[:-1].view(frames, size, size)


def _filled(corners: np.ndarray, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels of the boxes of triangles (N, 3, 2): number of the triangle, x, y, and whether it is filled there."""
    first = np.argmin(corners[..., 1], axis=1)
    (x0, y0), (x1, y1), (x2, y2) = (
        corners[np.arange(len(corners)), (first + step) % 3].T if len(corners) else np.zeros((2, 0), np.int64)
        for step in range(3)
    )
    y0, y1, y2 = (_pixel(y) for y in (y0, y1, y2))
    top, bottom = np.maximum(y0, 0), np.minimum(np.maximum(y1, y2), size) - 1
    left = np.clip(_pixel(corners[..., 0].min(axis=1)) - 1, 0, size)
    right = np.clip(_pixel(corners[..., 0].max(axis=1)) + 1, -1, size - 1)
    rows = np.where(right < left, 0, np.maximum(bottom - top + 1, 0))
    # The two ways down, along the first corner to either of the others and on to the last.
    ways = [
        np.stack([y1, x0, _slope(x0, x1, y1 - y0), x1, _slope(x1, x2, y2 - y1), y2 > y1], axis=1),
        np.stack([y2, x0, _slope(x0, x2, y2 - y0), x2, _slope(x2, x1, y1 - y2), y1 > y2], axis=1),
    ]
    table = upload(np.column_stack([y0, top, left, *ways]), device)
    triangle, below = _repeated(rows, device)
    start, drawn_from, column, *ways_down = table[triangle].unbind(1)
    y = drawn_from + below
    ends = torch.stack([_along(y, start, *ways_down[:6]), _along(y, start, *ways_down[6:])])
    low, high = (ends.amin(dim=0) + _HALF) >> _BITS, (ends.amax(dim=0) + _HALF) >> _BITS
    row, beside = _repeated(np.repeat(np.maximum(right - left + 1, 0), rows), device)
    x = column[row] + beside
    return triangle[row], x, y[row], (low[row] <= x) & (x <= high[row])


def _along(
    y: Tensor, top: Tensor, turn: Tensor, x0: Tensor, s0: Tensor, x1: Tensor, s1: Tensor, more: Tensor
) -> Tensor:
    """Where a way down is in row y: it begins at x0 with slope s0, and from row `turn` goes on, if there is more."""
    return torch.where((more > 0) & (y >= turn), x1 + s1 * (y - turn), x0 + s0 * (y - top))


def _outlines(corners: np.ndarray, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels of the edges of triangles (N, 3, 2), as `_filled`."""
    ends = np.stack([np.roll(corners, 1, axis=1), corners], axis=2).reshape(-1, 2, 2)
    length = np.abs(ends[:, 1] - ends[:, 0])
    across = length[:, 0] > length[:, 1]
    ends = np.where(across[:, None, None], ends, ends[..., ::-1])  # the longer side first
    ends = np.where((ends[:, 1, 0] < ends[:, 0, 0])[:, None, None], ends[:, ::-1], ends)
    (start, level), (stop, last) = ends[:, 0].T, ends[:, 1].T
    steps = (stop - start) >> _BITS
    slope = _quotient((last - level) << _BITS, (stop - start) | 1)
    start = _pixel(start)
    skipped = np.maximum(-start, 0)
    count = np.clip(np.minimum(steps, size - 1 - start) - skipped + 1, 0, None)
    # The far end is a line of one pixel.
    table = np.column_stack([start + skipped, level + _HALF + skipped * slope, slope, across])
    far = np.column_stack([_pixel(stop), last + _HALF, np.zeros_like(slope), across])
    table, count = np.concatenate([table, far]), np.concatenate([count, np.ones_like(count)])
    line, step = _repeated(count, device)
    along, off, rise, flat = upload(table, device)[line].unbind(1)
    along, off = along + step, (off + step * rise) >> _BITS
    x, y = torch.where(flat > 0, along, off), torch.where(flat > 0, off, along)
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    return line % (3 * len(corners)) // 3, x, y, inside


def _pixel(value: np.ndarray) -> np.ndarray:
    return (value + _HALF) >> _BITS


def _slope(start: np.ndarray, stop: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What x gains a row, rounded as OpenCV rounds."""
    rows = np.maximum(rows, 1)
    return _quotient((stop - start) * 2 + rows, 2 * rows)


def _quotient(of: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Whole quotient, rounded to 0."""
    return np.sign(of) * (np.abs(of) // by)


def _repeated(counts: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Numbers 0 .. len(counts) - 1, each `counts` times, and how often each came before."""
    owner = torch.repeat_interleave(upload(counts.astype(np.int64), device), output_size=int(counts.sum()))
    before = upload(np.cumsum(counts, dtype=np.int64) - counts, device)
    return owner, torch.arange(len(owner), device=device) - before[owner]

"""The sliding window: the only place in the project that slides (paper, section 4: 300 by 150).

A clip is cut into spans as long as a training window; what each span gives is added up with
weights that fall towards the span's ends, so that neighbours blend and cutting, then merging, is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from moda.representation import STRIDE, WINDOW

Array = TypeVar("Array", np.ndarray, Tensor)
Span = tuple[int, int]


@dataclass(frozen=True)
class SlidingWindow:
    """Windows of `length` frames, one every `stride`; the last one ends with the clip.

    Raises `ValueError` unless 1 <= stride <= length, as gaps could not be filled.
    """

    length: int = WINDOW
    stride: int = STRIDE

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.length:
            raise ValueError(f"window of length {self.length} and stride {self.stride}: wanted 1 <= stride <= length")

    def spans(self, frames: int) -> list[Span]:
        """(start, stop) of every window; one short window if the clip is shorter than a window."""
        if frames < 1:
            raise ValueError(f"a clip of {frames} frames has no windows")
        if frames <= self.length:
            return [(0, frames)]
        starts = [*range(0, frames - self.length, self.stride), frames - self.length]
        return [(start, start + self.length) for start in starts]

    def weights(self, span: Span) -> np.ndarray:
        """(stop - start,) float64 weights of a span's frames: a triangle, positive everywhere."""
        length = span[1] - span[0]
        rising = np.arange(1, length + 1, dtype=np.float64)
        return np.minimum(rising, rising[::-1]) / (length + 1)

    def merge(self, pieces: Sequence[Array], spans: Sequence[Span], frames: int, *, axis: int = 0) -> Array:
        """Weighted overlap-add of pieces (numpy or torch, floating point) along their time axis.

        pieces: one per span, of that span's length on `axis`. Returns the same kind, dtype and
        device with `frames` on `axis`. Raises `ValueError` if a length is wrong or a frame is not covered.
        """
        if len(pieces) != len(spans):
            raise ValueError(f"{len(pieces)} pieces for {len(spans)} spans")
        for piece, span in zip(pieces, spans, strict=True):
            _check(piece, span, axis)
        out = _blank(pieces[0], frames, axis)
        for piece, span, share in zip(pieces, spans, self._shares(spans, frames), strict=True):
            _add(out, piece, span, share, axis)
        return out

    def _shares(self, spans: Sequence[Span], frames: int) -> list[np.ndarray]:
        """What part of each frame comes from each span: sums to 1 over the spans, at every frame."""
        total = np.zeros(frames)
        for span in spans:
            total[span[0] : span[1]] += self.weights(span)
        if not np.all(total > 0):
            raise ValueError(f"frame {int(np.argmin(total > 0))} of {frames} is in no span")
        return [self.weights(span) / total[span[0] : span[1]] for span in spans]


def _check(piece: Array, span: Span, axis: int) -> None:
    if piece.shape[axis] != span[1] - span[0]:
        raise ValueError(f"a piece of {piece.shape[axis]} frames for the span {span}")


def _blank(piece: Array, frames: int, axis: int) -> Array:
    """Zeros as the piece, but with `frames` on the axis."""
    shape = list(piece.shape)
    shape[axis] = frames
    return np.zeros(shape, piece.dtype) if isinstance(piece, np.ndarray) else piece.new_zeros(shape)


def _add(out: Array, piece: Array, span: Span, share: np.ndarray, axis: int) -> None:
    """Add a piece, weighted frame by frame, to its place in `out`."""
    sized = share.reshape(-1, *[1] * (piece.ndim - 1))
    if isinstance(piece, np.ndarray):
        place = np.moveaxis(out, axis, 0)[span[0] : span[1]]  # a view
        place += np.moveaxis(piece, axis, 0) * sized.astype(piece.dtype)
    else:
        out.movedim(axis, 0)[span[0] : span[1]].add_(piece.movedim(axis, 0) * torch.from_numpy(sized).to(piece))


def run_windowed(
    fn: Callable[[int, int], Mapping[str, Tensor]],
    frames: int,
    *,
    window: SlidingWindow | None = None,
    axis: int = 0,
) -> dict[str, Tensor]:
    """Call `fn(start, stop)` for every window and merge each entry it returns on its time axis.

    fn: returns named tensors of stop - start frames on `axis`. Returns the same names with `frames`.
    Each window is added to the result and dropped: memory is that of the result and of one window.
    A caller that needs noise draws it once a clip and slices it by start and stop.
    """
    window = window or SlidingWindow()
    spans = window.spans(frames)
    merged: dict[str, Tensor] = {}
    for span, share in zip(spans, window._shares(spans, frames), strict=True):
        for name, piece in fn(*span).items():
            _check(piece, span, axis)
            if name not in merged:
                merged[name] = _blank(piece, frames, axis)
            _add(merged[name], piece, span, share, axis)
    return merged

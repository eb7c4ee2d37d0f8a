"""The sliding window at inference (paper, section 4: 300 frames, one every 150).

A clip is cut into spans as long as a training window; the outputs of the spans are added up with
weights that fall towards the span's ends, so that neighbours blend and cutting, then merging, is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moda.representation import STRIDE, WINDOW

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

    def _shares(self, spans: Sequence[Span], frames: int) -> list[np.ndarray]:
        """The weights of each span's frames, normalised: they sum to 1 over the spans, at every frame."""
        total = np.zeros(frames)
        for span in spans:
            total[span[0] : span[1]] += self.weights(span)
        return [self.weights(span) / total[span[0] : span[1]] for span in spans]


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
    for (start, stop), share in zip(spans, window._shares(spans, frames), strict=True):
        for name, piece in fn(start, stop).items():
            if piece.shape[axis] != stop - start:
                raise ValueError(f"a piece of {piece.shape[axis]} frames for the span {(start, stop)}")
            piece = piece.movedim(axis, 0)
            if name not in merged:
                merged[name] = piece.new_zeros((frames, *piece.shape[1:]))
            weights = torch.from_numpy(share.reshape(-1, *[1] * (piece.ndim - 1))).to(piece)
            merged[name][start:stop].add_(piece * weights)
    return {name: values.movedim(0, axis) for name, values in merged.items()}

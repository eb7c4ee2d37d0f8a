"""The windows of inference: the paper's over a whole clip (section 4: 300 frames, one every 150), and a stream's.

`SlidingWindow`: a clip is cut into spans as long as a training window; the outputs of the spans are added up with
weights that fall towards the span's ends, so that neighbours blend and cutting, then merging, is the identity.
`StreamWindows` lie at fixed times from the start of the sound and end soon after what they give, so that a stream makes
what a file makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moda.representation import STRIDE, WINDOW, WindowsName

Span = tuple[int, int]


@dataclass(frozen=True)
class StreamWindows:
    """Windows in frames. Each takes the sound a step further, and gives a step of motion `held_back` frames before it.

    A window begins at a whole period of stage 1's attention (q of M_T and PPE).
    """

    step: int
    """Frames from one window to the next."""
    heard_ahead: int
    """Frames of sound after the window's last frame that the speech encoder hears."""
    held_back: int
    """Frames before the window's last one that are given: what convolutions and filters see of later frames."""
    past: int = 100
    """Frames of a window before its end, at the least; 4 s, of the 3 s that networks are trained on."""
    future: int = 25
    """Frames after its end, in which speech is as before it, played backwards, and head, eyes and torso move on: what
    lies at an end is the least settled, and would be drawn anew in each window."""

    @property
    def delay(self) -> int:
        """Frames by which a frame may be behind its sound."""
        return self.step + self.heard_ahead + self.held_back

    @property
    def look_ahead(self) -> int:
        """Frames of sound after each frame that are known in whole when it is given."""
        return self.heard_ahead + self.held_back - 1

    def first(self, end: int, period: int) -> int:
        """First frame of the window whose sound ends before frame `end`; period: of the attention, frames."""
        return max(0, (end - self.past) // period * period)


STREAM_WINDOWS: dict[WindowsName, StreamWindows] = {
    "stream": StreamWindows(step=10, heard_ahead=10, held_back=7),
    "low_delay": StreamWindows(step=4, heard_ahead=4, held_back=2),
}


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

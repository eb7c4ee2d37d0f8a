"""TCM, the temporal consistency metric (docs/method.md, section 6): does the picture flicker as the true one does?

Dimension letters: H W height and width. Pictures are RGB uint8, (H, W, 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from moda.imaging.optical_flow import backward_flow, pull
from moda.metrics.pictures import VideoPictures
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric

SIDE_PX = 256
"""Pixels a side at which the flow is computed."""
FRAME_STEP = 5
"""Every so many frames a pair of neighbouring ones is scored."""
MIN_RESIDUAL_GREY_LEVELS_SQUARED = 1e-3
"""Mean squared residual, grey levels squared, under which a true frame counts as a repeat of the one before."""


@metric(
    name="tcm",
    label="TCM",
    unit="1",
    better="higher",
    source="the paper's variables; form inferred, docs/method.md, section 6",
    needs=("tracks", "frame", "pictures"),
)
def tcm(clip: ClipPair) -> Value:
    """Temporal consistency: mean over every 5th pair of neighbouring frames of exp(-|r - 1|), r = ||V_t -
    warp(V_t-1)||^2 / ||O_t - warp(O_t-1)||^2 of the generated video V and the true one O, at 256 px in red, green and
    blue; each is warped along its own optical flow (DIS). Pairs in which the true video repeats a frame are left out.
    """
    pictures = clip.pictures
    assert not isinstance(pictures, NotAvailable)  # they are needed, so they are there
    value = temporal_consistency(
        _residuals(pictures.true_video, pictures.true_start, pictures.frames),
        _residuals(pictures.generated_video, pictures.generated_start, pictures.frames),
    )
    return NotAvailable("the true video stands still") if math.isnan(value) else value


def _residuals(video: VideoPictures, start: int, frames: int) -> list[float]:
    """Residuals of every 5th pair from a video's frame `start` on; the shifted controls' are the truth's own."""
    wanted, known = range(start + FRAME_STEP, start + frames, FRAME_STEP), video.known("tcm")
    if not known.keys() >= set(wanted):
        pairs = neighbours(video.read(start, start + frames, 1, SIDE_PX))
        known |= {t: residual(*pair) for t, pair in zip(wanted, pairs, strict=False) if t not in known}
    return [known[t] for t in wanted if t in known]


def residual(before: np.ndarray, after: np.ndarray) -> float:
    """Mean squared difference of `after` and `before` pulled along their own flow, grey levels squared a channel.

    before, after: (H, W, 3) RGB uint8, neighbours in one video. It is ||V_t - warp(V_{t-1})||^2 over 3 H W.
    """
    difference = after.astype(np.float32) - pull(before, backward_flow(before, after))
    return float(np.mean(difference * difference, dtype=np.float64))


def consistency(true: float, generated: float) -> float:
    """exp(-|generated / true - 1|) of two residuals, the true one above 0; 1 when they are equal."""
    return math.exp(-abs(generated / true - 1))


def neighbours(frames: Iterable[np.ndarray], every: int = FRAME_STEP) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (frame t - 1, frame t) for t = every, 2 every, ..."""
    before: np.ndarray | None = None
    for index, frame in enumerate(frames):
        if index and index % every == 0 and before is not None:
            yield before, frame
        before = frame


def temporal_consistency(true: Iterable[float], generated: Iterable[float]) -> float:
    """TCM of two synchronous videos: mean of `consistency` over the residuals of the same pairs of frames.

    Each video is pulled along its own flow, so that a head that moves otherwise than the true one is
    not counted as flicker. Pairs in which the true video repeats a frame are left out: they have no
    residual to compare with. NaN if no pair is left. A video that stands still scores exp(-1) = 0.37,
    not 0: the metric punishes too little change no further.
    """
    scores = [
        consistency(reference, made)
        for reference, made in zip(true, generated, strict=False)
        if reference >= MIN_RESIDUAL_GREY_LEVELS_SQUARED
    ]
    return float(np.mean(scores)) if scores else float("nan")

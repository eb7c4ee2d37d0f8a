"""Lips closed at /p b m/: a miss that every viewer sees."""

from __future__ import annotations

import numpy as np

from moda.metrics.landmark import MIN_FRAMES
from moda.metrics.motion import REST_OPENING_SHARE
from moda.metrics.phonemes import bilabial_times, phoneme_source
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.representation import FPS

SPAN_FRAMES = 2
"""Frames around a phoneme's time in which the true lips close: the recogniser's times are known to about that."""
TOLERANCE_FRAMES = 1
"""Frames around their closing in which the generated lips may close."""
MIN_CLOSINGS = 3
"""Fewest closings that a share is computed from."""


@metric(
    name="lips_closed",
    label="lips closed at p b m",
    unit="share",
    better="higher",
    source="this project",
    needs=("tracks", "audio"),
    variant=phoneme_source,
)
def lips_closed(clip: ClipPair) -> Value:
    """Share of the true speaker's closings at /p b m/ at which the generated lips are closed too: opening below 15 %
    of a face's own 95th percentile over the clip. A closing is the frame of the true lips' smallest opening within
    two frames of the phoneme's time, where that is closed; the generated lips may close a frame earlier or later.
    """
    assert clip.wave is not None  # it is needed, so it is there
    times = bilabial_times(clip.settings, clip.name, clip.wave)
    if isinstance(times, NotAvailable):
        return times
    if clip.tracks.valid.sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face in both videos")
    true, generated = (relative_opening(face.opening) for face in (clip.tracks.true, clip.tracks.generated))
    found = closings(true, times)
    if len(found) < MIN_CLOSINGS:
        return NotAvailable(f"{len(found)} closings of the true lips at {len(times)} p b m, wanted {MIN_CLOSINGS}")
    spans = [_around(generated, at, TOLERANCE_FRAMES) for at in found]
    return float(np.mean([bool((span < REST_OPENING_SHARE).any()) for span in spans]))


def relative_opening(opening: np.ndarray) -> np.ndarray:
    """(T,) lip opening -> the same in units of its 95th percentile; NaN without a face. Lips that never move: open."""
    most = np.nanpercentile(opening, 95)
    return opening / most if most > 0 else np.ones_like(opening)


def closings(true: np.ndarray, times: np.ndarray) -> list[int]:
    """Frames at which the true lips close: relative opening (T,), seconds of the phonemes (P,)."""
    found = set()
    for time in times:
        frame = round(float(time) * FPS)
        span = _around(true, frame, SPAN_FRAMES)
        if np.isfinite(span).any() and np.nanmin(span) < REST_OPENING_SHARE:
            found.add(max(0, frame - SPAN_FRAMES) + int(np.nanargmin(span)))
    return sorted(found)


def _around(values: np.ndarray, frame: int, reach: int) -> np.ndarray:
    return values[max(0, frame - reach) : max(0, frame + reach + 1)]

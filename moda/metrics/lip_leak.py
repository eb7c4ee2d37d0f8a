"""LipLeak, a control: a method driven by silence should keep the mouth shut."""

from __future__ import annotations

import numpy as np

from moda.landmarks import INNER_LIP_PAIRS
from moda.metrics.landmark import MIN_FRAMES
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.metrics.speech import MIN_AUDIBLE_DBFS, levels

OPEN_RATIO = 0.1
"""Inner opening over inner width of the mouth from which it is open."""
CORNERS = (78, 308)
"""Inner corners of the mouth."""


@metric(
    name="lip_leak", label="LipLeak", unit="share", better="lower",
    source="form of LipLeak (Bigata et al. 2025, KeySync); threshold ours",
    needs=("tracks", "audio"),
)  # fmt: skip
def lip_leak(clip: ClipPair) -> Value:
    """Share of frames in which the generated mouth is open: mean height of the nine inner-lip pairs over 10 % of the
    inner width, after rigid alignment. Only of videos whose own sound is silent throughout (below -60 dB): give a
    method's videos made from silence, with their silent sound, as a row of their own.
    """
    assert clip.wave is not None  # it is needed, so it is there
    if levels(clip.wave, len(clip)).max() > MIN_AUDIBLE_DBFS:
        return NotAvailable("only for videos that were made from silence")
    face = clip.tracks.generated
    if face.tracked.sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face")
    points = face.canonical[face.tracked][..., :2]
    upper, lower = (points[:, [pair[side] for pair in INNER_LIP_PAIRS]] for side in (0, 1))
    height = np.linalg.norm(upper - lower, axis=-1).mean(axis=1)
    width = np.linalg.norm(points[:, CORNERS[0]] - points[:, CORNERS[1]], axis=-1)
    return float((height > OPEN_RATIO * width).mean())

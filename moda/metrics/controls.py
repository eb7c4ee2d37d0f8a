"""Control rows: what the scores of a video that is right, still, or late would be.

A method that does not beat the still mouth has not been shown to move its lips well, whatever its
LMD (findings: on real clips several published methods do not). All are made from the true track,
so they cost no tracking.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moda.geometry import to_image
from moda.landmarks import LIPS
from moda.metrics.tracks import FaceTrack, PairedTracks
from moda.metrics.values import NotAvailable
from moda.representation import FPS

Control = Callable[[FaceTrack], PairedTracks | NotAvailable]


def ground_truth(true: FaceTrack) -> PairedTracks | NotAvailable:
    """The truth against itself."""
    return PairedTracks(true, true)


def still_mouth(true: FaceTrack) -> PairedTracks | NotAvailable:
    """The true head motion with lips frozen, in canonical space, at the clip's median shape."""
    if not true.tracked.any():
        return NotAvailable("no face in the true video")
    lips = np.array(LIPS)
    rest = np.nanmedian(true.canonical[:, lips], axis=0)
    landmarks = true.landmarks.copy()
    landmarks[np.ix_(np.flatnonzero(true.tracked), lips)] = to_image(rest, true.pose)
    return PairedTracks(true, FaceTrack(landmarks))


def shifted(seconds: float) -> Control:
    """A control that plays the truth `seconds` early."""
    frames = round(seconds * FPS)

    def control(true: FaceTrack) -> PairedTracks | NotAvailable:
        if len(true) <= frames:
            return NotAvailable(f"clip of {len(true)} frames, too short to shift by {frames}")
        return PairedTracks(true.cut(0, len(true) - frames), true.cut(frames, len(true)))

    return control


CONTROLS: dict[str, Control] = {
    "ground truth": ground_truth,
    "still mouth": still_mouth,
    "truth shifted 1 s": shifted(1.0),
}
"""Controls by the name of their row, always printed."""

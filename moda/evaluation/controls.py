"""Control rows: the scores of a video that is right, still, late, or of other words.

A method that does not beat the still mouth has not been shown to move its lips well, whatever its LMD. All are made
from true tracks, so they cost no tracking; those that show true frames have pictures too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moda.geometry import to_image
from moda.landmarks import LIPS
from moda.metrics.registry import NotAvailable
from moda.metrics.tracks import FaceTrack, PairedTracks
from moda.representation import FPS

MIN_OTHER_CLIP_FRAMES = 25
"""Frames (1 s) that another clip's mouth must last."""


@dataclass(frozen=True)
class ControlClip:
    """A control's version of one clip.

    tracks: the pair. start: the true video's frame that it shows first; None where it is made of
    landmarks and has no pictures. notes: remarks for the reader.
    """

    tracks: PairedTracks
    start: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OtherClip:
    """Another clip, whose mouth a control shows."""

    name: str
    face: FaceTrack
    other_person: bool
    """Known to be of another person; False where it is not known."""


Control = Callable[[FaceTrack, OtherClip | None], ControlClip | NotAvailable]


def ground_truth(true: FaceTrack, other: OtherClip | None = None) -> ControlClip | NotAvailable:
    """The truth against itself."""
    return ControlClip(PairedTracks(true, true), 0)


def still_mouth(true: FaceTrack, other: OtherClip | None = None) -> ControlClip | NotAvailable:
    """The true head motion with lips frozen, in canonical space, at the clip's median shape."""
    if not true.tracked.any():
        return NotAvailable("no face in the true video")
    return ControlClip(PairedTracks(true, _with_lips(true, _rest(true)[None])), None)


def first_mouth(true: FaceTrack, other: OtherClip | None = None) -> ControlClip | NotAvailable:
    """The true head motion with lips frozen, in canonical space, as they are in the first frame that has a face.

    That frame is the reference of most methods: unlike the clip's median shape, it is all that they know of the mouth.
    """
    if not true.tracked.any():
        return NotAvailable("no face in the true video")
    lips = true.canonical[np.flatnonzero(true.tracked)[:1]][:, list(LIPS)]
    return ControlClip(PairedTracks(true, _with_lips(true, lips)), None)


def shifted(seconds: float) -> Control:
    """A control that plays the truth `seconds` early."""
    frames = round(seconds * FPS)

    def control(true: FaceTrack, other: OtherClip | None = None) -> ControlClip | NotAvailable:
        if len(true) <= frames:
            return NotAvailable(f"clip of {len(true)} frames, too short to shift by {frames}")
        return ControlClip(PairedTracks(true.cut(0, len(true) - frames), true.cut(frames, len(true))), frames)

    return control


def other_mouth(true: FaceTrack, other: OtherClip | None) -> ControlClip | NotAvailable:
    """The true head with another clip's lip movement: the right person, the wrong words.

    The other lips' departure from their own median shape, in canonical space, is added to this clip's median
    shape. The longer of the two clips is cut; nothing is looped, for a loop has a jump in it.
    """
    if other is None:
        return NotAvailable("no other clip of another person with a tracked face")
    frames = min(len(true), len(other.face))
    if frames < MIN_OTHER_CLIP_FRAMES:
        return NotAvailable(
            f"only {frames} frames in common with the clip {other.name}, wanted {MIN_OTHER_CLIP_FRAMES}"
        )
    true, lender = true.cut(0, frames), other.face.cut(0, frames)
    if not (true.tracked & lender.tracked).any():
        return NotAvailable(f"no frame with a face both here and in the clip {other.name}")
    lips = _rest(true) + lender.canonical[:, list(LIPS)] - _rest(lender)
    who = "another person's" if other.other_person else "persons not known"
    notes = (f"the mouth is that of {other.name} ({who}), {frames} frames",)
    return ControlClip(PairedTracks(true, _with_lips(true, lips)), None, notes)


def _rest(face: FaceTrack) -> np.ndarray:
    """(40, 3) median canonical lips."""
    return np.asarray(np.nanmedian(face.canonical[:, list(LIPS)], axis=0))


def _with_lips(face: FaceTrack, lips: np.ndarray) -> FaceTrack:
    """The face with other canonical lips (T or 1, 40, 3), placed by its own head pose; NaN where either has none."""
    landmarks = face.landmarks.copy()
    frames = np.flatnonzero(face.tracked)
    given = lips if len(lips) == 1 else lips[frames]
    landmarks[np.ix_(frames, np.array(LIPS))] = to_image(given, face.pose)
    landmarks[np.isnan(landmarks).any(axis=(1, 2))] = np.nan
    return FaceTrack(landmarks)


CONTROLS: dict[str, Control] = {
    "ground truth": ground_truth,
    "still mouth": still_mouth,
    "first frame's mouth": first_mouth,
    "truth shifted 0.2 s": shifted(0.2),
    "truth shifted 1 s": shifted(1.0),
    "other clip's mouth": other_mouth,
}
"""Controls by the name of their row, always printed."""

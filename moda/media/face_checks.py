"""What a reference face makes impossible, or what has to be assumed of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moda.errors import FaceError
from moda.landmarks import LIPS, eye_opening, lip_opening
from moda.representation import HeadPose

MOST_YAW = 60.0
"""Degrees from which on a face is a profile: the far half of it is not in the picture."""
NOTED_YAW = 35.0
"""Degrees from which on a turned face is noted."""
OPEN_MOUTH = 8.0
"""Lip opening that is noted, canonical pixels (14 are a centimetre of a usual face)."""
CLOSED_EYES = 0.12
"""Eyelid distance under which eyes are closed, as a share of eye width (open: 0.2 to 0.4)."""
CUT_OFF = 0.05
"""Share of landmarks outside the picture that is noted."""


def check_face(
    landmarks: np.ndarray, canonical: np.ndarray, pose: HeadPose, picture: tuple[int, int], source: Path | str
) -> list[str]:
    """Remarks on a face, one line each; nothing to say of a usual one.

    landmarks: (478, 3) pixels of the picture; canonical: the same in canonical pixels; pose: one frame's.
    picture: its width and height. Raises `FaceError` if it cannot be animated: a profile, or a mouth that is
    not in the picture.
    """
    yaw = float(pose.rotation[1])
    if abs(yaw) > MOST_YAW:
        raise FaceError(f"the face is turned by {abs(yaw):.0f} degrees, wanted at most {MOST_YAW:.0f}: {source}")
    outside = ((landmarks[:, :2] < 0) | (landmarks[:, :2] > np.array(picture))).any(axis=1)
    if outside[list(LIPS)].any():
        raise FaceError(f"the mouth is not whole in the picture; wanted a face that is not cut off: {source}")
    remarks = []
    if abs(yaw) > NOTED_YAW:
        remarks.append(f"the face is turned by {abs(yaw):.0f} degrees; its far side is known only in part")
    if outside.mean() > CUT_OFF:
        remarks.append("the face reaches over the border of the picture; what lies beyond is an estimate")
    if lip_opening(canonical) > OPEN_MOUTH:
        remarks.append("the mouth is open; closed lips are taken to be its rest, and their place is an estimate")
    if eyes_closed(canonical):
        remarks.append(
            "the eyes are closed; they and the brows stay as they are, since what is behind the lids is not known"
        )
    return remarks


def eyes_closed(canonical: np.ndarray) -> bool:
    """Whether a face (478, 3), of any unit, has its eyes shut."""
    return bool(eye_opening(canonical) < CLOSED_EYES)

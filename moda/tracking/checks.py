"""Checks of a reference face: what is refused, and what is reported of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from moda.errors import FaceError
from moda.landmarks import LIPS, eye_opening, lip_opening
from moda.representation import HeadPose
from moda.tracking.face_view import FaceView

MAX_YAW_DEGREES = 60.0
"""Degrees from which on a face is a profile: the far half of it is not in the picture."""
NOTED_YAW_DEGREES = 35.0
"""Degrees from which on a turned face is noted."""
OPEN_MOUTH_PX = 8.0
"""Lip opening that is noted, canonical pixels (14 are a centimetre of a usual face)."""
MAX_HIDDEN_SHARE, NOTED_HIDDEN_SHARE = 0.5, 0.25
"""Shares of the lips that something hides from which on a face is refused, and from which on that is noted."""
MIN_UPRIGHT_PROBABILITY = 0.2
"""Landmarks less likely than this to be in place (`FaceView.upright`) are refused."""
ACCEPT = "--accept-face, or accept=True in Python"
CLOSED_EYES_RATIO = 0.12
"""Eyelid distance under which eyes are closed, as a share of eye width (open: 0.2 to 0.4)."""
CUT_OFF_SHARE = 0.05
"""Share of landmarks outside the picture that is noted."""


class ReferenceFace(NamedTuple):
    """A face as a picture shows it.

    landmarks: (478, 3) pixels of the picture, whose width and height is `picture`; canonical: the same in canonical
    pixels; pose: one frame's; view: the estimates of `look_at`.
    """

    landmarks: np.ndarray
    picture: tuple[int, int]
    canonical: np.ndarray
    pose: HeadPose
    view: FaceView


def check_face(face: ReferenceFace, source: Path | str, *, accept: bool = False) -> list[str]:
    """Remarks on a face, one line each; none for a usual one.

    Raises `FaceError` if it cannot be animated well: a covered mouth, a profile, a mouth that is not in the picture,
    landmarks that are not in place. accept: these are remarks too.
    """
    yaw = abs(float(face.pose.rotation[1]))
    x, y = face.landmarks[:, 0], face.landmarks[:, 1]
    width, height = face.picture
    outside = (x < 0) | (x > width) | (y < 0) | (y > height)
    refused = []
    if face.view.upright < MIN_UPRIGHT_PROBABILITY:
        refused.append("the landmarks do not fit the face, wanted one that is upright and clearly seen")
    if yaw > MAX_YAW_DEGREES:
        refused.append(f"the face is turned by {yaw:.0f} degrees, wanted at most {MAX_YAW_DEGREES:.0f}")
    if outside[list(LIPS)].any():
        refused.append("the mouth is not whole in the picture; wanted a face that is not cut off")
    if face.view.hidden > MAX_HIDDEN_SHARE:
        refused.append(f"something covers the mouth ({face.view.hidden:.0%} of the lips); wanted one that is free")
    if refused and not accept:
        raise FaceError(f"{refused[0]} (to animate it all the same: {ACCEPT}): {source}")
    remarks = [f"{reason}; accepted all the same, the result may be poor" for reason in refused]
    if NOTED_HIDDEN_SHARE < face.view.hidden <= MAX_HIDDEN_SHARE:
        remarks.append("something may cover a part of the mouth; what it hides is an estimate")
    if NOTED_YAW_DEGREES < yaw <= MAX_YAW_DEGREES:
        remarks.append(f"the face is turned by {yaw:.0f} degrees; its far side is known only in part")
    if outside.mean() > CUT_OFF_SHARE:
        remarks.append("the face reaches over the border of the picture; what lies beyond is an estimate")
    if lip_opening(face.canonical) > OPEN_MOUTH_PX:
        remarks.append("the mouth is open; closed lips are taken to be its rest, and their place is an estimate")
    if eyes_closed(face.canonical):
        remarks.append(
            "the eyes are closed; they and the brows stay as they are, since what is behind the lids is not known"
        )
    return remarks


def eyes_closed(canonical: np.ndarray) -> bool:
    """Whether a face (478, 3), of any unit, has its eyes shut."""
    return bool(eye_opening(canonical) < CLOSED_EYES_RATIO)

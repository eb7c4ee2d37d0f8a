"""The motion of a face in a video: what its head, eyes and lips do, to drive a portrait with."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from moda.errors import FaceError, MediaError
from moda.geometry import fit_head_pose, motion_targets, subject_mesh, to_canonical
from moda.imaging.crop import square_box, to_frame
from moda.landmarks import N_LANDMARKS, N_TORSO
from moda.media.video import read_frames
from moda.representation import FPS, Motion
from moda.smoothing import gaussian
from moda.tracking.face import FaceTracker

MAX_SECONDS = 1800
"""Of a driving video; its landmarks take 10 MB a minute."""
MIN_SEEN_SHARE = 0.5
"""Of the frames in which a face must be found; others are filled in between their neighbours."""
LANDMARK_SIGMA_FRAMES = 0.6
"""Width of the filter that takes off the tracker's jitter, as stage 1's lips are filtered."""

log = logging.getLogger(__name__)


def track_motion(path: Path | str) -> Motion:
    """The motion of the (largest) face in a video at 25 fps, each part relative to its own rest in the video.

    Shoulders are not tracked: `torso` is zero. Frames without a face are filled in between their neighbours.
    Raises `MediaError` for what is no video, `FaceError` if a face is seen in less than half of it.
    """
    path = Path(path)
    rows: list[np.ndarray] = []
    width = height = 0
    with FaceTracker(video=True) as tracker:
        for frame in read_frames(path, fps=FPS):
            height, width = frame.shape[:2]
            face = tracker.track(frame)
            rows.append(np.full((N_LANDMARKS, 3), np.nan, np.float32) if face is None else face.astype(np.float32))
            if len(rows) > MAX_SECONDS * FPS:
                raise MediaError(f"the driving video lasts more than {MAX_SECONDS / 60:g} minutes: {path}; cut it")
    seen = np.array([np.isfinite(row).all() for row in rows], bool)
    if not len(rows) or seen.mean() < MIN_SEEN_SHARE:
        raise FaceError(f"a face is seen in {int(seen.sum())} of {len(rows)} frames only: {path}; take another video")
    if not seen.all():
        log.info("%s: %d of %d frames show no face, they are filled in", path, int((~seen).sum()), len(rows))
    landmarks = _filled(np.stack(rows), seen)
    box = square_box(np.median(landmarks, axis=0), width, height, over_border=True)
    placed = gaussian(np.asarray(to_frame(landmarks, box), np.float64), LANDMARK_SIGMA_FRAMES)
    pose = fit_head_pose(placed)
    canonical = to_canonical(placed, pose)
    motion = motion_targets(canonical, pose, np.zeros((len(rows), N_TORSO, 3)), subject_mesh(canonical))
    lips, eyes, head, torso = (
        np.asarray(part, np.float32) for part in (motion.lips, motion.eyes, motion.head, motion.torso)
    )
    return Motion(lips, eyes, head, torso)


def _filled(landmarks: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Landmarks (T, 478, 3) with the frames that were not seen (T,) by straight lines between those that were."""
    if seen.all():
        return landmarks
    flat = landmarks.reshape(len(landmarks), -1)
    frames, known = np.arange(len(flat)), np.flatnonzero(seen)
    for channel in range(flat.shape[1]):
        flat[:, channel] = np.interp(frames, known, flat[known, channel])
    return flat.reshape(landmarks.shape)

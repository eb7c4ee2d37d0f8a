"""Two crops of one real video: what is measured after alignment does not depend on the crop."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from moda.evaluation.framing import Framed, frame_pair
from moda.imaging.crop import Box
from moda.media.video import read_frames
from moda.metrics import METRICS, ClipPair, VideoTrack
from moda.tracking.face import FaceTracker

CLIP = "clips/JOY-MM__JoyGen__example_5s.mp4"  # 720 px
FRAMES, LATE = 80, 5
ALIGNED = ("lmd_aligned", "lmd_v_aligned", "lip_corr_best", "opening_ratio")


def track(path: Path, crop: Box) -> VideoTrack:
    rows = []
    with FaceTracker(video=True) as tracker:
        for frame in islice(read_frames(path, crop=crop), FRAMES):
            face = tracker.track(frame)
            rows.append(np.full((478, 3), np.nan) if face is None else face)
    return VideoTrack(np.stack(rows).astype(np.float32), crop.side, crop.side)


@pytest.fixture(scope="module")
def crops(shared_data) -> tuple[VideoTrack, VideoTrack]:
    """The whole picture, and the face with a fifth of its size around it."""
    whole = track(shared_data / CLIP, Box(0, 0, 720))
    points = whole.landmarks[whole.tracked][..., :2]
    low, high = np.median(points.min(axis=1), axis=0), np.median(points.max(axis=1), axis=0)
    side = int(1.4 * (high - low).max()) // 2 * 2
    left, top = ((low + high - side) / 2).astype(int)
    return whole, track(shared_data / CLIP, Box(int(left), int(top), side))


def scores(true: VideoTrack, generated: VideoTrack) -> dict[str, float]:
    """The "generated" video is the truth, played early."""
    early = VideoTrack(generated.landmarks[LATE:], generated.width, generated.height)
    late = VideoTrack(true.landmarks[:-LATE], true.width, true.height)
    framed = frame_pair(late, early)
    assert isinstance(framed, Framed)
    clip = ClipPair(framed.pair, other_framing=framed.other_framing)
    found = {name: METRICS[name].measure(clip) for name in ALIGNED}
    assert all(isinstance(value, float) for value in found.values()), found
    return found


def test_aligned_scores_of_two_crops_agree_within_five_percent(crops) -> None:
    whole, face = crops
    reference = scores(whole, whole)
    assert reference["lmd_aligned"] > 1.0 and reference["lip_corr_best"] > 0.9  # something is measured
    for true, generated in ((face, face), (whole, face), (face, whole)):
        found = scores(true, generated)
        for name in ALIGNED:
            assert found[name] == pytest.approx(reference[name], rel=0.05), (name, true.width, generated.width)


def test_positions_in_another_crop_are_not_compared(crops) -> None:
    framed = frame_pair(*crops)
    assert isinstance(framed, Framed) and framed.other_framing is not None
    assert "times as large" in framed.other_framing

"""Pairs of real video files for tests of metrics on pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moda.imaging.crop import Box
from moda.media.video_writer import VideoWriter
from moda.metrics.pictures import PicturePair, VideoPictures


def write_video(path: Path, frames: Sequence[np.ndarray]) -> VideoPictures:
    """Encode square frames at 25 fps; crf 8 keeps them close."""
    side = len(frames[0])
    with VideoWriter(path, side, 25, crf=8) as writer:
        for frame in frames:
            writer.write(frame)
    return VideoPictures(path, Box(0, 0, side), len(frames))


def write_pair(folder: Path, true: Sequence[np.ndarray], generated: Sequence[np.ndarray]) -> PicturePair:
    """Two videos of one length as a pair."""
    return PicturePair(
        write_video(folder / "true.mp4", true), write_video(folder / "generated.mp4", generated), len(true)
    )

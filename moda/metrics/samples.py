"""Rows of numbers that a clip gives to the distances between sets of clips (frechet.py); they are cached a clip.

Dimension letters: N rows, D numbers a row, T frames, H W height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from moda.landmarks import (
    EYE_CORNERS,
    INNER_LIP_PAIRS,
    LEFT_EYE,
    LEFT_EYEBROW,
    LEFT_EYELID_PAIRS,
    OUTER_LIP_PAIRS,
    RIGHT_EYE,
    RIGHT_EYEBROW,
    RIGHT_EYELID_PAIRS,
)
from moda.metrics.registry import ClipPair, MetricSettings, NotAvailable, not_asked
from moda.metrics.scripted import named, run

FRAME_STEP = 5
"""Every so many frames one is taken, of shapes and pictures."""
WINDOW_FRAMES = 16
"""Frames of a video that FVD takes at once; the next one begins where it ends."""
BATCH = 16
"""Pictures that a network takes at once."""
PICTURE_SIDE_PX, VIDEO_SIDE_PX = 256, 224
WIDTHS = ((61, 291), (78, 308), (14, 152))
"""Outer and inner corners of the mouth; lower lip and chin."""
INCEPTION = "FID's Inception as TorchScript (inception-2015-12-05.pt): pictures (N, 3, H, W) uint8 to (N, D)"
I3D = "FVD's I3D as TorchScript (i3d_torchscript.pt): videos (N, 3, 16, 224, 224) in -1..1 to (N, D)"


@dataclass(frozen=True)
class Sampler:
    """What a clip gives to a distance: rows (N, D) float32 of its generated side. key: as a metric's."""

    sample: Callable[[ClipPair], np.ndarray | NotAvailable]
    key: Callable[[MetricSettings], str]


def shape_rows(clip: ClipPair) -> np.ndarray | NotAvailable:
    """(N, 25) distances in the generated face after rigid alignment, percent of the eyes' distance; every 5th frame.

    Heights of the 9 inner and the 9 outer lip pairs, both widths of the mouth, lower lip to chin, the two eyes'
    openings, the two brows' heights over their eyes.
    """
    face = clip.tracks.generated
    points = face.canonical[face.tracked][::FRAME_STEP]
    if not len(points):
        return NotAvailable("no frame with a face")
    pairs = np.array([*INNER_LIP_PAIRS, *OUTER_LIP_PAIRS, *WIDTHS])
    lengths = [np.linalg.norm(points[:, pairs[:, 0]] - points[:, pairs[:, 1]], axis=-1)]
    for lids, brow, eye in (
        (LEFT_EYELID_PAIRS, LEFT_EYEBROW, LEFT_EYE),
        (RIGHT_EYELID_PAIRS, RIGHT_EYEBROW, RIGHT_EYE),
    ):
        upper, lower = (points[:, [pair[side] for pair in lids]] for side in (0, 1))
        lengths.append(np.linalg.norm(upper - lower, axis=-1).mean(axis=1, keepdims=True))
        height = points[:, list(brow)].mean(axis=1) - points[:, list(eye)].mean(axis=1)
        lengths.append(np.linalg.norm(height, axis=-1)[:, None])
    right, left = (points[:, corner] for corner in EYE_CORNERS)
    eyes = np.median(np.linalg.norm(right - left, axis=-1))
    return np.concatenate(lengths, axis=1).astype(np.float32) * np.float32(100 / eyes)


def picture_rows(clip: ClipPair) -> np.ndarray | NotAvailable:
    """(N, D) a network's values of every 5th frame of the generated square at 256 px."""
    path = clip.settings.fid_weights
    if path is None:
        return not_asked("--fid-weights FILE")
    if isinstance(clip.pictures, NotAvailable):
        return clip.pictures
    frames = clip.pictures.generated(FRAME_STEP, PICTURE_SIDE_PX)
    rows = [
        run(path, np.stack(batch).transpose(0, 3, 1, 2).copy(), INCEPTION, return_features=True)
        for batch in _batches(frames, BATCH)
    ]
    return np.concatenate(rows).astype(np.float32) if rows else NotAvailable("no frames")


def video_rows(clip: ClipPair) -> np.ndarray | NotAvailable:
    """(N, D) a network's values of every 16 frames of the generated square at 224 px."""
    path = clip.settings.fvd_weights
    if path is None:
        return not_asked("--fvd-weights FILE")
    if isinstance(clip.pictures, NotAvailable):
        return clip.pictures
    rows = []
    for window in _batches(clip.pictures.generated(1, VIDEO_SIDE_PX), WINDOW_FRAMES):
        if len(window) == WINDOW_FRAMES:
            video = np.stack(window).transpose(3, 0, 1, 2)[None].astype(np.float32) / 127.5 - 1
            rows.append(run(path, video, I3D, rescale=False, resize=False, return_features=True))
    return np.concatenate(rows).astype(np.float32) if rows else NotAvailable(f"fewer than {WINDOW_FRAMES} frames")


SAMPLERS: dict[str, Sampler] = {
    "shape": Sampler(shape_rows, lambda settings: "1"),
    "fid": Sampler(picture_rows, lambda settings: f"1 {named(settings.fid_weights, 'network')}"),
    "fvd": Sampler(video_rows, lambda settings: f"1 {named(settings.fvd_weights, 'network')}"),
}
"""By the name that distances call them by."""


def _batches(frames: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    """The frames, so many at a time; the last may be fewer."""
    rest = iter(frames)
    while batch := list(islice(rest, size)):
        yield batch

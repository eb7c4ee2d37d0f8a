"""The square 25 fps video, its landmarks and the person's outline, in one pass over the source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prepare.job import Job, Rejected, Span, Step
from data_prepare.spans import (
    KEEP_SHARE,
    MIN_RUN_SECONDS,
    choose_span,
    faded_ends,
    fill_gaps,
    find_cuts,
    short_gaps_filled,
)
from moda.media.crop import Box, crop_square
from moda.media.face_tracker import FaceTracker
from moda.media.torso_tracker import PersonSegmenter, upper_edge
from moda.media.video import VideoWriter, read_frames
from moda.representation import FPS, FRAME

TRACK_SIDE = 512
"""The face is tracked in pictures of at least this side where the source has it, whatever is stored."""
SHARPNESS_EVERY = 10
OUTLINE_EVERY = 2
"""One frame in so many is segmented."""
THUMBNAIL = 16
MIN_DECODED = 0.9
"""Least share of the announced length that can be decoded; else the file is cut off."""
CRF, GOP, PRESET = 16, 12, "ultrafast"
"""The preset only trades file size for time: "veryfast" took a quarter more CPU over all steps."""
TAGS = {"comment": "Prepared training clip: a real recording, cropped and resampled by MODA"}


def sharpness(picture: np.ndarray, landmarks: np.ndarray) -> float:
    """Variance of the Laplacian (grey levels) in the face's box; landmarks: (478, 3) pixels of `picture`."""
    low = np.clip(np.floor(landmarks[:, :2].min(axis=0)).astype(int), 0, None)
    high = np.ceil(landmarks[:, :2].max(axis=0)).astype(int)
    grey = picture[low[1] : high[1], low[0] : high[0]] @ np.array([0.299, 0.587, 0.114], np.float32)
    if min(grey.shape) < 3:
        return 0.0
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4.0 * centre
    return float(laplacian.var())


def contrast(picture: np.ndarray, landmarks: np.ndarray) -> float:
    """Standard deviation of the green channel in the face's box, from every fourth pixel."""
    low = np.clip(np.floor(landmarks[:, :2].min(axis=0)).astype(int), 0, None)
    high = np.ceil(landmarks[:, :2].max(axis=0)).astype(int)
    face = picture[low[1] : high[1] : 4, low[0] : high[0] : 4, 1]
    return float(face.std()) if face.size else 0.0


def _square_frames(job: Job) -> Iterator[np.ndarray]:
    """The crop of every frame at 25 fps, no larger than the source has it or than is needed."""
    side = min(job.box.side, max(TRACK_SIDE, job.options.size))
    return read_frames(job.source, size=side, crop=job.box)


def _stored(frame: np.ndarray, size: int) -> np.ndarray:
    return crop_square(frame, Box(0, 0, frame.shape[0]), size)


def _writer(path: Path, size: int) -> VideoWriter:
    return VideoWriter(path, size, FPS, crf=CRF, preset=PRESET, metadata=TAGS, gop=GOP, bframes=0, threads=1)


def run(job: Job) -> None:
    """Decode once: crop, track, encode. If only a part is kept, that part is encoded again from the source."""
    path, size = job.folder / "video.mp4", job.options.size
    meshes: list[np.ndarray | None] = []
    thumbnails: list[np.ndarray] = []
    blurs: list[float] = []
    contrasts: list[float] = []
    outlines: list[np.ndarray] = []
    with FaceTracker(video=True) as tracker, PersonSegmenter() as segmenter, _writer(path, size) as writer:
        for frame in _square_frames(job):
            mesh = tracker.track(frame)
            contrasts.append(0.0 if mesh is None else contrast(frame, mesh))
            if mesh is not None:
                mesh = (mesh * (FRAME / frame.shape[0])).astype(np.float32)
            picture = _stored(frame, size)
            if mesh is not None and len(meshes) % SHARPNESS_EVERY == 0:
                blurs.append(sharpness(picture, mesh * (size / FRAME)))
            if len(meshes) % OUTLINE_EVERY == 0:
                outlines.append(upper_edge(segmenter.small_mask(frame)))
            step = frame.shape[0] // THUMBNAIL
            thumbnails.append(frame[step // 2 :: step, step // 2 :: step, 1][:THUMBNAIL, :THUMBNAIL])
            meshes.append(mesh)
            writer.write(picture)
            job.tick(1)
    expected = job.info.seconds * FPS
    if len(meshes) < MIN_DECODED * expected - 5:
        raise Rejected(
            f"only {len(meshes)} of about {expected:.0f} frames can be decoded: the file is cut off or broken"
        )
    found = np.array([mesh is not None for mesh in meshes]) & ~faded_ends(np.array(contrasts))
    landmarks = np.stack([np.full((478, 3), np.nan, np.float32) if mesh is None else mesh for mesh in meshes])
    cuts = find_cuts(landmarks, np.stack(thumbnails))
    tracked = short_gaps_filled(found, cuts)
    span = choose_span(tracked, cuts)
    if span is None:
        shots = f", in {int(cuts.sum()) + 1} shots" if cuts.any() else ""
        raise Rejected(
            f"the face is tracked in {tracked.mean():.0%} of {len(tracked)} frames{shots}, and in no shot "
            f"for {MIN_RUN_SECONDS:g} s on end; wanted {KEEP_SHARE:.0%} of one shot, or that"
        )
    if span != Span(0, len(meshes)):
        with _writer(path, size) as writer:
            for index, frame in enumerate(_square_frames(job)):
                if index >= span.stop:
                    break
                if index >= span.start:
                    writer.write(_stored(frame, size))
    job.span = span
    job.tracked = tracked[span.start : span.stop]
    job.landmarks = fill_gaps(landmarks[span.start : span.stop])
    kept = [index for index in range(0, len(meshes), OUTLINE_EVERY) if span.start <= index < span.stop]
    job.outlined = np.array(kept) - span.start
    job.outlines = np.stack([outlines[index // OUTLINE_EVERY] for index in kept])
    job.sharpness = float(np.median(blurs)) if blurs else 0.0


STEP = Step(
    "normalise",
    needs=("info", "box"),
    makes=("span", "tracked", "landmarks", "outlined", "outlines", "sharpness"),
    version=2,
    run=run,
)

"""The square 25 fps video, its landmarks and the person's outline, in one pass over the source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prepare.annotations import MASK_FILES
from data_prepare.job import Job, Rejected, Span, Step
from data_prepare.scan.spans import (
    MIN_RUN_SECONDS,
    choose_span,
    faded_ends,
    fill_gaps,
    find_jumps,
    frozen_frames,
    short_gaps_filled,
    small_grey,
)
from moda.imaging.crop import face_rectangle
from moda.media.decode_and_store import VideoRange, frames_while_storing
from moda.representation import FPS, FRAME
from moda.tracking.face import FaceTracker
from moda.tracking.person import PersonSegmenter, upper_edge

TRACK_SIDE_PX = 320
"""The face is tracked in pictures of this side (less if the source has less): it fills half of them, and the
mesh model sees it in 192 pixels. Against 512, landmarks differ by 0.16 px and are as steady."""
OUTLINE_FRAME_STEP = 6
"""One frame in so many is segmented: shoulders move slowly."""
TAGS = {"comment": "Prepared training clip: a real recording, cropped and resampled by MODA"}


def contrast(picture: np.ndarray, landmarks: np.ndarray) -> float:
    """Standard deviation of the green channel in the face's box, from every fourth pixel."""
    face = picture[face_rectangle(landmarks)][::4, ::4, 1]
    return float(face.std()) if face.size else 0.0


def _frames(job: Job, path: Path, span: Span, side: int) -> Iterator[np.ndarray]:
    """Small pictures of `span`, while it is stored at `path`."""
    source = VideoRange(job.source.path, job.info, *span)
    return frames_while_storing(source, path, size=job.options.size, side=side, crop=job.shot.box, tags=TAGS)


def run(job: Job) -> None:
    """Decode once: crop, store, track. If the clip is a part of the shot, that part is stored again from the source."""
    path, shot = job.folder / "video.mp4", Span(job.shot.start, job.shot.stop)
    side = min(TRACK_SIDE_PX, max(2, job.shot.box.side // 2 * 2))
    masked = job.annotations is not None and job.annotations.has_masks
    meshes: list[np.ndarray | None] = []
    contrasts: list[float] = []
    outlines: list[np.ndarray] = []
    pictures: list[np.ndarray] = []
    with FaceTracker(video=True) as tracker, PersonSegmenter() as segmenter:
        for index, frame in enumerate(_frames(job, path, shot, side)):
            mesh = tracker.track(frame)
            contrasts.append(0.0 if mesh is None else contrast(frame, mesh))
            pictures.append(small_grey(frame))
            meshes.append(None if mesh is None else (mesh * (FRAME / side)).astype(np.float32))
            if index % OUTLINE_FRAME_STEP == 0 and not masked:
                outlines.append(upper_edge(segmenter.small_mask(frame)))
            job.tick(1)
    frames = len(meshes)
    found = np.array([mesh is not None for mesh in meshes])
    if not job.shot.exact:
        found &= ~faded_ends(np.array(contrasts))
    landmarks = np.stack([np.full((478, 3), np.nan, np.float32) if mesh is None else mesh for mesh in meshes])
    jumps = find_jumps(landmarks)
    frozen = frozen_frames(np.stack(pictures), landmarks)
    tracked = short_gaps_filled(found, jumps) & ~frozen
    span = _choose(job, tracked, jumps, frozen)
    if span != Span(0, frames):
        for _ in _frames(job, path, Span(shot.start + span.start, shot.start + span.stop), 32):
            pass
    job.span = Span(shot.start + span.start, shot.start + span.stop)
    job.jumps = int(jumps[span.start + 1 : span.stop].sum())
    job.tracked = tracked[span.start : span.stop]
    job.landmarks = fill_gaps(landmarks[span.start : span.stop])
    looked = np.arange(0, frames, OUTLINE_FRAME_STEP)
    inside = (looked >= span.start) & (looked < span.stop)
    job.outlined = looked[inside] - span.start
    if masked:
        job.outlines = _annotated_outlines(job)
    else:
        job.outlines = np.stack([outlines[number] for number in np.flatnonzero(inside)])


def _choose(job: Job, tracked: np.ndarray, jumps: np.ndarray, frozen: np.ndarray) -> Span:
    """Which of the shot's frames become the clip; raises `Rejected` if too few show the face, or show it move.

    tracked: without the `frozen` ones, in which the picture stands still.
    """
    share, wanted, frames = float(tracked.mean()), job.options.limits.min_tracked, len(tracked)
    shown = f"the face is tracked in {share:.0%} of {frames} frames"
    if frozen.any():
        still = f"the picture stands still in {frozen.mean():.0%} of {frames} frames (a photo, or it froze)"
        shown = f"{still}, and the face is tracked in {share:.0%} besides"
    if job.shot.exact:
        if share < wanted:
            raise Rejected(f"{shown}; wanted {wanted:.0%} of the listed ones")
        return Span(0, frames)
    span = choose_span(tracked, jumps, wanted)
    if span is None:
        parts = f", in {int(jumps.sum()) + 1} shots" if jumps.any() else ""
        raise Rejected(
            f"{shown}{parts}, and nowhere for {MIN_RUN_SECONDS:g} s on end; wanted {wanted:.0%} of one shot, or that"
        )
    return span


def _annotated_outlines(job: Job) -> np.ndarray:
    assert job.annotations is not None
    times = (job.span.start + job.outlined) / FPS
    masks = job.annotations.masks(times, job.shot.box, job.info.width, job.info.height)
    return np.stack([upper_edge(mask) for mask in masks])


STEP = Step(
    "normalise",
    needs=("info",),
    makes=("span", "jumps", "tracked", "landmarks", "outlined", "outlines"),
    version=4,
    run=run,
    settings=lambda options: {"size": options.size, "min_tracked": options.limits.min_tracked},
    annotations=MASK_FILES,
)

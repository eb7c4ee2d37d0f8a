"""Which frames of a shot are stored, and that all that is stored belongs to them."""

from __future__ import annotations

import numpy as np
import pytest

from data_prepare.job import Job, Rejected, Span
from data_prepare.scan.shots import Shot
from data_prepare.sources.folder import SourceVideo
from data_prepare.steps import normalise, probe
from data_prepare.steps.normalise import OUTLINE_FRAME_STEP
from moda.imaging.crop import Box
from moda.media.video import VideoReader
from moda.representation import FRAME
from tests.data_prepare.conftest import write_film
from tests.tracking.detect import detect_faces

BOX = Box(30, 0, 180)


def normalised(folder, frames, options, shot=None, exact=False) -> Job:
    path = write_film(folder / "v.mp4", frames, crf=8)
    start, stop = shot or (0, len(frames))
    made = folder / "made"
    made.mkdir()
    source = SourceVideo(path, folder, path.name, "v", "v")
    job = Job("v", source, Shot(start, stop, BOX, exact=exact), made, options)
    probe.run(job)
    normalise.run(job)
    return job


def test_a_fade_in_and_a_fade_out_are_left_out(tmp_path, talking, options):
    frames = talking(64)
    shares = np.concatenate([np.linspace(0.05, 0.8, 10), np.ones(46), np.linspace(0.8, 0.05, 8)])
    faded = [(frame * share).astype(np.uint8) for frame, share in zip(frames, shares, strict=True)]
    job = normalised(tmp_path, faded, options)
    assert 9 <= job.span.start <= 11 and 55 <= job.span.stop <= 57
    assert job.tracked.all() and job.jumps == 0
    assert job.outlined.tolist() == [
        t - job.span.start for t in range(0, 64, OUTLINE_FRAME_STEP) if job.span.start <= t < job.span.stop
    ]
    assert len(job.outlines) == len(job.outlined)
    with VideoReader(job.folder / "video.mp4") as video:
        assert len(video) == job.frames
        first, last = video[0].astype(float).mean(), video[job.frames - 1].astype(float).mean()
    assert first > 0.9 * frames[20][:180, 30:210].mean() and last > 0.9 * frames[50][:180, 30:210].mean()


def test_a_listed_part_keeps_its_fades(tmp_path, talking, options):
    frames = talking(40)
    faded = [(frame * min(1.0, 0.5 + 0.05 * n)).astype(np.uint8) for n, frame in enumerate(frames)]
    job = normalised(tmp_path, faded, options, exact=True)
    assert job.span == Span(0, 40)


def test_of_a_shot_with_a_jump_the_longer_part_is_kept_and_landmarks_fit_the_stored_frames(tmp_path, talking, options):
    frames = talking(75)
    jumped = [np.roll(frame, 40, axis=1) if n < 15 else frame for n, frame in enumerate(frames)]
    job = normalised(tmp_path, jumped, options, shot=(4, 71))
    assert job.span.start in (15, 16) and job.span.stop == 71 and job.jumps == 0
    first = job.span.start
    left = BOX.left
    for index in (0, 25, 54):
        face = detect_faces(frames[first + index])[0]
        expected = (face[:, :2] - [left, BOX.top]) * FRAME / BOX.side
        assert np.abs((job.landmarks[index, :, :2] - expected).mean(axis=0)).max() < 8.0, (
            index
        )  # the part before the jump is 114 pixels off
        with VideoReader(job.folder / "video.mp4") as video:
            stored = video[index].astype(float).mean(axis=(0, 1))
        wanted = frames[first + index][BOX.top : BOX.top + BOX.side, left : left + BOX.side].mean(axis=(0, 1))
        assert np.abs(stored - wanted).max() < 2.0


def test_of_a_video_that_freezes_the_live_part_is_kept(tmp_path, talking, options):
    job = normalised(tmp_path, [*talking(50), *talking(50)[-1:] * 60], options)
    assert job.span.start == 0 and 46 <= job.span.stop <= 51 and job.tracked.all()


def test_a_photo_is_refused_with_a_reason(tmp_path, talking, options):
    with pytest.raises(Rejected, match=r"still in 100% of 60 frames \(a photo.*tracked in 0% besides"):
        normalised(tmp_path, talking(1) * 60, options)


def test_too_little_face_is_refused_with_its_share(tmp_path, talking, options):
    frames = talking(60)
    for number, frame in enumerate(frames):
        if number % 30 >= 15:
            frame[:] = 120
    with pytest.raises(Rejected, match=r"the face is tracked in (4|5)\d% of 60 frames"):
        normalised(tmp_path, frames, options)

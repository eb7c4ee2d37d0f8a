"""The audio around a clip, and how it is moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import moda.av_offset
from data_prepare.job import Job, Rejected, Span
from data_prepare.options import Options
from data_prepare.scan.shots import Shot
from data_prepare.sources.folder import SourceVideo
from data_prepare.steps import audio as audio
from data_prepare.steps import offset
from data_prepare.steps.audio import MARGIN_SAMPLES
from moda.geometry import to_image
from moda.imaging.crop import Box
from moda.media.audio import read_audio, write_wav
from moda.media.video import VideoInfo
from moda.representation import HeadPose
from tests.talking_clips import talk


def job_on(path: Path, span: Span, options: Options, has_audio: bool = True) -> Job:
    source = SourceVideo(path, path.parent, path.name, "clip", "somebody")
    job = Job("clip", source, Shot(span.start, span.stop, Box(0, 0, 64)), path.parent, options)
    job.info = VideoInfo(64, 64, 25.0, 10.0, has_audio)
    job.span = span
    return job


@pytest.fixture
def noise(tmp_path) -> Path:
    write_wav(tmp_path / "noise.wav", 0.1 * np.random.default_rng(0).standard_normal(4 * 16_000))
    return tmp_path / "noise.wav"


@pytest.mark.parametrize(("start", "stop"), [(0, 50), (10, 60), (30, 70), (40, 100), (80, 120)])
def test_the_margin_is_sound_where_there_is_some_and_silence_elsewhere(noise, start, stop):
    whole = read_audio(noise)
    job = job_on(noise, Span(start, stop), Options())
    audio.run(job)
    padded = np.concatenate([np.zeros(MARGIN_SAMPLES), whole, np.zeros(10 * MARGIN_SAMPLES)])
    first = start * 640  # = MARGIN_SAMPLES + start * 640 in `padded`, less the margin
    np.testing.assert_array_equal(job.padded_audio, padded[first : first + (stop - start) * 640 + 2 * MARGIN_SAMPLES])
    assert job.padded_audio.dtype == np.float32
    np.testing.assert_array_equal(
        offset.moved(job.padded_audio, job.frames, 0.0)[:100], padded[MARGIN_SAMPLES + first :][:100]
    )


@pytest.mark.parametrize(("level", "span"), [(0.0, Span(0, 50)), (1e-5, Span(0, 50)), (1.0, Span(200, 250))])
def test_silence_and_sound_that_ended_before_are_no_sound(tmp_path, level, span):
    path = tmp_path / "quiet.wav"
    write_wav(path, level * 0.1 * np.random.default_rng(0).standard_normal(4 * 16_000))
    with pytest.raises(Rejected, match="the audio is silence, below -60 dBFS"):
        audio.run(job_on(path, span, Options()))
    job = job_on(path, span, Options(allow_silent=True))
    audio.run(job)
    assert job.padded_audio is None
    job.offset = job.wave = "something"
    offset.run(job)
    assert job.offset is None and job.wave is None


def test_sound_beside_a_silent_clip_does_not_count(tmp_path):
    wave = np.zeros(4 * 16_000)
    wave[:16_000] = wave[-16_000:] = 0.3
    write_wav(tmp_path / "beside.wav", wave)
    with pytest.raises(Rejected, match="silence"):
        audio.run(job_on(tmp_path / "beside.wav", Span(26, 74), Options()))


@pytest.mark.parametrize("late", [-3.0, -0.5, 0.0, 0.25, 3.0, 12.0])
def test_the_sound_of_a_picture_that_comes_late_is_delayed(late):
    """The mouth opens at frame 20 for an audio recording that was made `late` frames before."""
    padded_audio = np.zeros(2 * MARGIN_SAMPLES + 40 * 640, np.float32)
    padded_audio[MARGIN_SAMPLES + round((20 - late) * 640)] = 1.0
    wave = offset.moved(padded_audio, 40, late)
    assert wave.shape == (40 * 640,) and np.flatnonzero(wave).tolist() == [20 * 640]


def talking_job(tmp_path, options, frames=60) -> Job:
    face, wave = talk(frames, 1)
    job = job_on(tmp_path / "x", Span(0, frames), options)
    pose = HeadPose(np.zeros((frames, 3)), np.full((frames, 3), 256.0), np.ones(frames))
    job.landmarks, job.pose, job.tracked = to_image(face, pose).astype(np.float32), pose, np.ones(frames, bool)
    margin = np.random.default_rng(3).standard_normal(MARGIN_SAMPLES).astype(np.float32)
    job.padded_audio = np.concatenate([margin, wave[: frames * 640], margin])
    return job


def test_what_is_settled_is_corrected_by_the_frames_that_are_noted(tmp_path, sync_checkpoint, monkeypatch):
    monkeypatch.setattr(moda.av_offset, "MIN_SETTLED_CONFIDENCE", -9.0)
    for end in range(60, 130, 5):  # the network may see the peak at the end of its curve, which is never settled
        job = talking_job(tmp_path, Options(sync=sync_checkpoint, limits={"max_offset": 15.5}), end)
        offset.run(job)
        if job.offset.settled:
            break
    assert job.offset.settled and job.offset.frames != 0.0 and job.offset.corrected
    np.testing.assert_array_equal(job.wave, offset.moved(job.padded_audio, job.frames, job.offset.frames))
    frames = job.offset.frames

    job.options = Options(sync=sync_checkpoint, correct_offset=False, limits={"max_offset": 15.5})
    offset.run(job)
    assert job.offset.settled and not job.offset.corrected and job.offset.frames == frames
    np.testing.assert_array_equal(job.wave, job.padded_audio[MARGIN_SAMPLES:-MARGIN_SAMPLES])

    job.options = Options(sync=sync_checkpoint, limits={"max_offset": 0.5 * abs(frames)})
    with pytest.raises(Rejected, match=f"{frames:+.1f} frames late against the audio, more than the limit"):
        offset.run(job)


@pytest.mark.parametrize("late", [-6, 6])
def test_sound_too_late_or_too_early_is_refused(tmp_path, sync_checkpoint, monkeypatch, late):
    monkeypatch.setattr(moda.av_offset, "MIN_SETTLED_CONFIDENCE", -9.0)
    job = talking_job(tmp_path, Options(sync=sync_checkpoint, limits={"max_offset": 3}), 120)
    job.padded_audio = np.roll(job.padded_audio, -640 * late)
    with pytest.raises(Rejected, match=r"the picture comes \+[567]" if late > 0 else "the picture comes -[567]"):
        offset.run(job)


def test_what_is_not_settled_is_noted_and_left(tmp_path, sync_checkpoint, monkeypatch):
    monkeypatch.setattr(moda.av_offset, "MIN_SETTLED_CONFIDENCE", 9.0)
    job = talking_job(tmp_path, Options(sync=sync_checkpoint, limits={"max_offset": 0}))
    offset.run(job)
    assert not job.offset.settled and not job.offset.corrected
    np.testing.assert_array_equal(job.wave, job.padded_audio[MARGIN_SAMPLES:-MARGIN_SAMPLES])
    job.options = Options(sync=sync_checkpoint, settled_only=True)
    with pytest.raises(Rejected, match="cannot be settled"):
        offset.run(job)


def test_a_clip_too_short_to_compare_has_an_offset_of_zero_that_json_can_hold(tmp_path, sync_checkpoint):
    job = talking_job(tmp_path, Options(sync=sync_checkpoint), frames=10)
    offset.run(job)
    assert (job.offset.frames, job.offset.settled) == (0.0, False) and len(job.wave) == 6400

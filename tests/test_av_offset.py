"""The offset estimator: reading curves, odd input, and the shipped network on a real clip."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from moda.av_offset import (
    CHUNK_FRAMES,
    MAX_OFFSET_FRAMES,
    MIN_SETTLED_CONFIDENCE,
    SHIPPED,
    LipSync,
    read_curve,
    speech_frames,
)
from moda.errors import CheckpointError, DataError
from moda.geometry import fit_head_pose, to_canonical
from moda.media.audio import read_audio
from moda.media.video import read_frames
from moda.nn.landmark_sync import LipSyncConfig, LipSyncNet
from moda.representation import SAMPLE_RATE
from moda.tracking.face import FaceTracker
from tests.talking_clips import talk

LAGS = np.arange(-MAX_OFFSET_FRAMES, MAX_OFFSET_FRAMES + 1)
FRAMES = np.full(31, 100.0)


@pytest.fixture(scope="module")
def shipped() -> LipSync:
    return LipSync.load()


@pytest.mark.parametrize("late", [-8.3, -0.4, 0.0, 6.25])
def test_a_parabola_is_read_to_a_fraction(late: float) -> None:
    offset = read_curve(np.maximum(0.5 - 0.1 * (LAGS - late) ** 2, 0), FRAMES)
    assert offset.frames == pytest.approx(late, abs=0.05)
    assert offset.settled and offset.confidence > MIN_SETTLED_CONFIDENCE


def test_what_settles_nothing_is_not_settled() -> None:
    twins = np.full(31, -0.1)
    twins[[5, 20]] = 0.5, 0.5 - MIN_SETTLED_CONFIDENCE / 15
    assert not read_curve(twins, FRAMES).settled, "two peaks"
    assert read_curve(twins, 5 * FRAMES).settled, "the same in five times the footage"
    assert not read_curve(np.linspace(-1, 1, 31), FRAMES).settled, "the end of the curve is no peak"
    assert read_curve(twins, 5 * FRAMES).confidence == read_curve(twins, 50 * FRAMES).confidence, "20 s are enough"
    assert read_curve(twins, 5 * FRAMES).confidence > read_curve(twins, 4 * FRAMES).confidence
    unknown = read_curve(np.full(31, np.nan), 0 * FRAMES)
    assert not unknown.settled and np.isnan(unknown.frames) and unknown.confidence == 0
    part = np.full(31, 0.0)
    part[:6], part[15] = np.nan, 0.8
    assert read_curve(part, FRAMES).settled and read_curve(part, FRAMES).frames == pytest.approx(0)


def test_missing_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError,
        match=r"no checkpoint of the offset estimator at .*x\.pt; .* train one: .*moda train --config default/sync",
    ):
        LipSync.load(tmp_path / "x.pt")


def test_arrays_of_another_shape_are_refused(shipped: LipSync) -> None:
    face, wave = talk(60, 0)
    with pytest.raises(DataError, match=r"got canonical \(60, 468, 3\)"):
        shipped.estimate(face[:, :468], np.ones(60, bool), wave)
    with pytest.raises(DataError, match=r"tracked \(59,\)"):
        shipped.estimate(face, np.ones(59, bool), wave)


def test_too_little_gives_an_unsettled_offset(shipped: LipSync) -> None:
    face, wave = talk(120, 0)
    seen = np.ones(120, bool)
    for offset in (
        shipped.estimate(face[:10], seen[:10], wave[:6400]),
        shipped.estimate(face[:40], seen[:40], wave[: 640 * 40]),
        shipped.estimate(face, seen, np.zeros_like(wave)),
        shipped.estimate(face, seen, wave[:0]),
        shipped.estimate(face, ~seen, wave),
    ):
        assert not offset.settled and offset.curve.shape == (31,)
        assert offset.confidence == 0 and np.isnan(offset.frames)


def test_speech_frames_are_the_loud_ones_and_their_neighbours() -> None:
    wave = 1e-4 * np.sin(0.4 * np.arange(640 * 50, dtype=np.float32))
    wave[640 * 20 + 200 : 640 * 30 - 200] *= 1000
    assert speech_frames(wave, 60).nonzero()[0].tolist() == list(range(17, 33))


def test_a_long_clip_goes_through_in_pieces() -> None:
    torch.manual_seed(0)
    small = LipSync(LipSyncNet(LipSyncConfig(channels=8, embedding=4, components=2)))
    seen_lengths = []
    face, wave = talk(2 * CHUNK_FRAMES + 200, 1)
    compare = small._compare

    def recording(*parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen_lengths.append(tuple(map(len, parts)))
        return compare(*parts)

    small._compare = recording  # type: ignore[method-assign]
    whole = small.estimate(face, np.ones(len(face), bool), wave)
    assert max(frames for frames, *_ in seen_lengths) <= 1.5 * CHUNK_FRAMES
    assert sum(frames for frames, *_ in seen_lengths) == len(face)
    assert all(samples == 640 * frames for frames, _, samples, _ in seen_lengths)
    assert np.isfinite(whole.curve).all()


def test_the_shipped_network_is_small() -> None:
    assert SHIPPED.stat().st_size < 2_000_000


def test_real_shifts_are_recovered(shipped: LipSync, shared_data: Path) -> None:
    """A person it was not trained on: five seconds, shifted by whole frames."""
    path = shared_data / "clips" / "OpenTalker__video-retalking__2.mp4"
    with FaceTracker(video=True) as tracker:
        found = [tracker.track(frame) for frame in itertools.islice(read_frames(path), 125)]
    tracked = np.array([face is not None for face in found])
    assert tracked.all()
    landmarks = np.stack([face for face in found if face is not None])
    canonical = to_canonical(landmarks, fit_head_pose(landmarks)).astype(np.float32)
    wave = read_audio(path)
    frames, own = len(canonical), shipped.estimate(canonical, tracked, wave)
    assert own.settled and abs(own.frames) < 2
    for late in (-8, -3, 5):
        first, last = max(0, -late), min(frames, frames - late)
        audio = wave[(first + late) * SAMPLE_RATE // 25 : (last + late) * SAMPLE_RATE // 25]
        offset = shipped.estimate(canonical[first:last], tracked[first:last], audio)
        assert offset.frames == pytest.approx(own.frames + late, abs=1), late

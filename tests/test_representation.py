"""Rates, records and motion files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moda.errors import DataError
from moda.landmarks import N_EYES, N_LIPS, N_TORSO
from moda.representation import HEAD, Motion, frames_of, samples_at


def motion(frames: int = 12, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    return Motion(
        lips=rng.normal(size=(frames, N_LIPS, 3)),
        eyes=rng.normal(size=(frames, N_EYES, 3)),
        head=rng.normal(size=(frames, HEAD)),
        torso=rng.normal(size=(frames, N_TORSO, 3)),
    )


def test_a_frame_is_640_samples_and_nothing_drifts() -> None:
    assert [samples_at(t) for t in (0, 1, 2, 7500)] == [0, 640, 1280, 4_800_000]
    assert frames_of(4_800_000) == 7500, "five minutes; 533 samples a frame would be 0.19 s off"
    assert abs(samples_at(9000, fps=29.97) - 9000 * 16000 / 29.97) <= 0.5


@given(st.integers(1, 10_000_000), st.sampled_from([23.976, 24.0, 25.0, 29.97, 30.0, 60.0]))
def test_frames_last_as_long_as_the_sound_within_half_a_frame(samples: int, fps: float) -> None:
    frames = frames_of(samples, fps)
    assert frames == 1 or abs(frames / fps - samples / 16_000) <= 0.5 / fps + 1e-9


def test_a_motion_file_is_read_back_exactly(tmp_path: Path) -> None:
    motion().save(tmp_path / "m.npz")
    back = Motion.load(tmp_path / "m.npz")
    assert np.array_equal(back.lips, motion().lips)
    assert back.fps == 25.0


def test_what_is_no_motion_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, lips=np.zeros(3))
    with pytest.raises(DataError, match="other"):
        Motion.load(path)
    with pytest.raises(DataError, match="'head' has shape"):
        Motion(motion().lips, motion().eyes, motion().head[:, :6], motion().torso)


def test_a_motion_file_cut_short_is_refused_by_name(tmp_path: Path) -> None:
    whole, short = tmp_path / "whole.npz", tmp_path / "short.npz"
    motion().save(whole)
    short.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(DataError, match="short"):
        Motion.load(short)


def test_resampling_by_time_keeps_ends_and_middle() -> None:
    ramp = motion(11)
    ramp = Motion(ramp.lips, ramp.eyes, np.repeat(np.arange(11.0)[:, None], HEAD, axis=1), ramp.torso)
    faster = ramp.at_fps(50.0, 22)
    assert np.allclose(faster.head[:21, 0], np.arange(21) / 2)
    assert faster.fps == 50.0
    assert ramp.at_fps(25.0, 11) is ramp


def test_scaled_freezes_or_enlarges_one_part_alone() -> None:
    plain = motion()
    frozen = plain.scaled(head=0.0, lips=1.5)
    assert not frozen.head.any()
    assert np.array_equal(frozen.lips, plain.lips * 1.5)
    assert np.array_equal(frozen.eyes, plain.eyes)

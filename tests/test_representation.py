"""Rates, records and motion files."""

import math
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moda.errors import DataError
from moda.landmarks import N_EYES, N_LIPS, N_TORSO
from moda.representation import HEAD, Motion, frames_of, interpolate, samples_at


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


def motion_file(path: Path, **changes: np.ndarray | float | None) -> Path:
    parts = {name: getattr(motion(), name) for name in ("lips", "eyes", "head", "torso")} | {"fps": np.array(25.0)}
    np.savez_compressed(path, **{name: value for name, value in (parts | changes).items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fps", np.array([25.0, 25.0]), "not a motion file"),
        ("fps", np.array([]), "not a motion file"),
        ("fps", np.array("fast"), "not a motion file"),
        ("fps", np.array(None), "wanted numbers"),
        ("fps", np.array(np.nan), "nan frames per second"),
        ("fps", np.array(0), "0 frames per second"),
        ("fps", np.array(-25), "-25 frames per second"),
        ("fps", np.array(1e300), "frames per second"),
        ("fps", None, "it has no 'fps'"),
        ("lips", None, "it has no 'lips'"),
        ("lips", np.array(3.0), "not a motion file"),
        ("lips", np.zeros((12, 40)), "not a motion file"),
        ("lips", np.zeros((12, 40, 3), complex), "wanted numbers"),
        ("lips", np.zeros((12, 40, 3), "U1"), "not a motion file"),
        ("lips", np.zeros((11, 40, 3)), "no length in common"),
        ("eyes", np.full((12, 60, 3), np.inf), "'eyes' of the motion file .* not finite"),
        ("head", np.full((12, 7), 1e30), "'head' of the motion file .* beyond 100000"),
        ("torso", np.zeros((12, 18, 3), object), "wanted numbers"),
    ],
)  # fmt: skip
def test_a_motion_file_with_nonsense_is_refused_by_name(
    tmp_path: Path, name: str, value: np.ndarray | None, words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        Motion.load(motion_file(tmp_path / "odd.npz", **{name: value}))
    assert "odd.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_a_motion_of_no_frames_is_refused(tmp_path: Path) -> None:
    parts = {name: getattr(motion(), name)[:0] for name in ("lips", "eyes", "head", "torso")}
    with pytest.raises(DataError, match="no length in common"):
        Motion.load(motion_file(tmp_path / "a.npz", **parts))


def test_numbers_of_any_kind_and_order_come_back(tmp_path: Path) -> None:
    parts = {
        "lips": motion().lips.astype(">f4"),
        "eyes": np.asfortranarray(motion().eyes),
        "head": np.ones((12, 7), int),
    }
    back = Motion.load(motion_file(tmp_path / "a.npz", **parts))
    assert np.array_equal(back.lips, motion().lips.astype(np.float32)) and back.lips.dtype.isnative
    assert np.array_equal(back.eyes, motion().eyes) and back.eyes.flags.c_contiguous
    assert back.at_fps(50, 20).head.shape == (20, 7)


def test_a_motion_that_claims_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    frames = 300_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, shape in {"lips": (40, 3), "eyes": (60, 3), "head": (7,), "torso": (18, 3)}.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(
                    member, {"descr": "<f4", "fortran_order": False, "shape": (frames, *shape)}
                )
                row = bytes(4 * 1000 * math.prod(shape))
                for _ in range(frames // 1000):
                    member.write(row)
        with file.open("fps.npy", "w") as member:
            np.lib.format.write_array(member, np.array(25.0))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="its arrays claim 433,200,000 bytes"):
            Motion.load(path)
        with pytest.raises(DataError, match=r"lasts 12000.00 s, wanted 10.00 s"):
            Motion.load(path, seconds=10)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_interpolation_is_exact_for_straight_lines_and_holds_the_ends() -> None:
    values = np.stack([np.arange(4), 2 * np.arange(4)], axis=1).astype(np.float32)
    found = interpolate(values, np.array([-1, 0, 0.25, 1.5, 3, 9]))
    np.testing.assert_array_equal(found[:, 1], [0, 0, 0.5, 3, 6, 6])
    assert found.dtype == np.float32
    assert interpolate(np.ones((1, 18, 3)), np.zeros(4)).shape == (4, 18, 3)

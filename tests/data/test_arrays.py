"""Arrays on disk: what is refused, what is read, and that half of one is never left."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from moda.data.arrays import ARRAYS, map_array, write_array
from moda.errors import DataError, OutputError


@pytest.mark.parametrize("name", ARRAYS)
def test_every_array_comes_back_by_slices(tmp_path: Path, name: str) -> None:
    dtype, trailing, per_frame = ARRAYS[name]
    shape = (7, *trailing) if per_frame else trailing
    array = (np.random.default_rng(0).normal(size=shape) * 3).astype(dtype)
    write_array(tmp_path, name, array)
    back = map_array(tmp_path, name, 7)
    np.testing.assert_array_equal(back[2:5], array[2:5])
    assert back.dtype == dtype and not back.flags.writeable
    np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), array, "a plain .npy")
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.npy"]


def test_an_array_in_another_order_is_stored_in_c_order_and_alike(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(18, 3, 4)).astype(np.float32)
    write_array(tmp_path, "torso", np.moveaxis(array, 2, 0))
    first = (tmp_path / "torso.npy").read_bytes()
    write_array(tmp_path, "torso", np.ascontiguousarray(np.moveaxis(array, 2, 0)))
    assert (tmp_path / "torso.npy").read_bytes() == first
    np.testing.assert_array_equal(map_array(tmp_path, "torso", 4), np.moveaxis(array, 2, 0))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("torso", np.zeros((4, 18, 3)), r"'torso' in .*torso\.npy: got float64 .*, wanted float32 \(T, 18, 3\)"),
        ("torso", np.zeros((4, 17, 3), np.float32), r"got float32 \(4, 17, 3\), wanted float32 \(T, 18, 3\)"),
        ("torso", np.zeros((0, 18, 3), np.float32), r"got float32 \(0, 18, 3\)"),
        ("scale", np.zeros((4, 1)), r"wanted float64 \(T\)"),
        ("scale", np.array([1.0, np.nan, np.inf]), "2 values are not finite"),
        ("subject", np.zeros((1, 478, 3), np.float32), r"wanted float32 \(478, 3\)"),
    ],
)
def test_what_does_not_fit_is_not_stored(tmp_path: Path, name: str, array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_array(tmp_path, name, array)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    before = np.ones(10)
    write_array(tmp_path, "scale", before)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # Python ignores the signal: writing fails
    try:
        with pytest.raises(OutputError, match=r"cannot write .*scale\.npy: File too large"):
            write_array(tmp_path, "scale", np.zeros(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["scale.npy"]
    np.testing.assert_array_equal(map_array(tmp_path, "scale", 10), before)


def test_a_header_that_another_program_wrote_is_read_too(tmp_path: Path) -> None:
    array = np.arange(30.0).reshape(10, 3)
    with (tmp_path / "rotation.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=(2, 0))
    np.testing.assert_array_equal(map_array(tmp_path, "rotation", 10), array)


def test_missing_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*scale\.npy: .*; prepare the clip again"):
        map_array(tmp_path, "scale", 10)
    write_array(tmp_path, "scale", np.ones(10))
    path = tmp_path / "scale.npy"
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], whole[:70], whole[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cannot read .*scale\.npy"):
            map_array(tmp_path, "scale", 10)
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"scale\.npy holds float64 \(10,\), wanted float64 \(11,\)"):
        map_array(tmp_path, "scale", 11)
    np.save(path, np.ones(10, np.float32))
    with pytest.raises(DataError, match=r"holds float32 \(10,\), wanted float64 \(10,\)"):
        map_array(tmp_path, "scale", 10)
    np.save(tmp_path / "rotation.npy", np.asfortranarray(np.ones((10, 3))))
    with pytest.raises(DataError, match="C order"):
        map_array(tmp_path, "rotation", 10)

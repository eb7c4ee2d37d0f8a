"""What a small file claims is checked before anything is made of it."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from moda.errors import ConfigError, DataError
from moda.files import write_npz
from moda.reading import array_claims, read_arrays, read_json, read_text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[1]", "holds list, wanted a JSON object"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": -Infinity}', "-Infinity is not a number"),
        (b'{"a": 1e999}', "beyond what a number can be"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "not text in UTF-8 (byte 7)"),
        (b" " * (1 << 24) + b"{}", "more than 16,777,216 bytes"),
    ],
)
def test_bad_json_is_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_json(tmp_path / "a.json", hint="; make it again", error=ConfigError)
    assert words in str(caught.value) and str(tmp_path / "a.json") in str(caught.value)
    assert str(caught.value).endswith("; make it again") and len(str(caught.value)) < 400


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none", Path("/dev/zero"), Path("a\0b")):
        for read in (read_json, read_text, lambda path: read_arrays(path, ["a"])):
            with pytest.raises(DataError, match="cannot read"):
                read(path)


def test_text_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_text(tmp_path / "a") == '{"a": 1}' and read_json(tmp_path / "a") == {"a": 1}


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(3), np.zeros((0, 3)),
     np.arange(6, dtype=">f4").reshape(3, 2), np.array([True]), np.array("text"), np.zeros((2, 0, 3), np.int16)],
)  # fmt: skip
@pytest.mark.parametrize("compress", [True, False])
def test_arrays_come_back(tmp_path: Path, array: np.ndarray, compress: bool) -> None:
    write_npz(tmp_path / "a.npz", {"x": array, "y": np.arange(300_000)}, compress=compress)
    back = read_arrays(tmp_path / "a.npz", ["x", "y"])
    np.testing.assert_array_equal(back["x"], array)
    np.testing.assert_array_equal(back["y"], np.arange(300_000))
    assert back["x"].dtype == array.dtype.newbyteorder("=") and back["x"].dtype.isnative
    assert array_claims(tmp_path / "a.npz", ["x"])["x"].shape == array.shape


def header(dtype: str, shape: object) -> bytes:
    file = io.BytesIO()
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}".encode()
    file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    return file.getvalue()


def archive(path: Path, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("x.npy", data)
    return path


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (header("'<f4'", "(1000000000, 3)"), "does not fit"),
        (header("'<f4'", f"({10**30},)"), "does not fit"),
        (header("'<f4'", "(-1, -2)") + bytes(8), "wanted numbers"),
        (header("'|O'", "(1,)") + bytes(8), "wanted numbers"),
        (header("[('a', '<f4')]", "(1,)") + bytes(4), "wanted numbers"),
        (header("'<M8[s]'", "(1,)") + bytes(8), "wanted numbers"),
        (header("'<f4'", "(" * 9000), "cannot read"),
        (header("'<f4'", "(1,)") + bytes(400), "does not fit"),
        (header("'<f4'", str((1,) * 70)) + bytes(4), "cannot read"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(1 << 24), "cannot read"),
        (b"\x93NUMPY\x09\x00", "cannot read"),
        (b"", "cannot read"),
    ],
)
def test_false_claims_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_arrays(archive(tmp_path / "a.npz", data), ["x"])


def test_what_claims_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    size = 300 << 20
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(header("'|u1'", f"({size},)"))
        for _ in range(300):
            member.write(bytes(1 << 20))
    assert (tmp_path / "a.npz").stat().st_size < 4 << 20
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="its arrays claim 314,572,800 bytes, wanted at most 268,435,456"):
            read_arrays(tmp_path / "a.npz", ["x"])
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert read_arrays(tmp_path / "a.npz", ["x"], limit=size)["x"].shape == (size,)


def test_other_ways_of_packing_and_damage_are_refused(tmp_path: Path) -> None:
    good = header("'|u1'", "(1000,)") + bytes(range(250)) * 4
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with pytest.raises(DataError, match="not used for arrays"):
            read_arrays(archive(tmp_path / "a.npz", good, method), ["x"])
    path = archive(tmp_path / "a.npz", good, zipfile.ZIP_STORED)
    assert read_arrays(path, ["x"])["x"].sum() == 4 * sum(range(250))
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="CRC"):
        read_arrays(path, ["x"])
    with pytest.raises(DataError, match="it has no 'y'"):
        read_arrays(path, ["y"])
    path.write_bytes(data[:700])
    with pytest.raises(DataError, match="not a zip file"):
        read_arrays(path, ["x"])

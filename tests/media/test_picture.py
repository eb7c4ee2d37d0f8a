"""Files of pictures: colours, metadata and sizes that are not the usual ones."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moda.errors import MediaError
from moda.media.colour import HLG, PQ, HdrCoding, hdr_coding, hdr_to_srgb
from moda.media.picture import read_picture

P3_TO_XYZ_D50 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
XYZ_D50_TO_SRGB = np.array([[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]])
GAMMA = 2.2


def icc(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A minimal ICC profile, version 2."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    size = start + len(body)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I4sI4s4s4s", size, b"\0" * 4, 0x02100000, kind, space, connection)
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + table + body


def described(name: str) -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name.encode() + b"\0" * 80


def xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(value * 65536) for value in values))


def display_p3() -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(GAMMA * 256))
    tags = {b"desc": described("Display P3"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(np.array([0.964, 1, 0.825]))}
    for band, name in enumerate((b"r", b"g", b"b")):
        tags |= {name + b"XYZ": xyz(P3_TO_XYZ_D50[:, band]), name + b"TRC": curve}
    return icc(b"RGB ", b"XYZ ", tags)


def inks() -> bytes:
    """A CMYK profile whose cyan is a mid grey-blue: L 60, a 0, b -30; black ink takes all light."""
    nodes = b""
    for ink in np.ndindex(2, 2, 2, 2):
        lightness = 0 if ink[3] else 60 if ink[0] else 100
        nodes += bytes([round(lightness * 2.55), 128, 128 - 30 * ink[0] * (1 - ink[3])])
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + nodes + ramp * 3
    tags = {b"desc": described("inks"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(np.array([0.964, 1, 0.825]))}
    return icc(b"CMYK", b"Lab ", {**tags, b"A2B0": lut, b"A2B1": lut})


def png_chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) if crc is None else crc)
    )


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    return png[:33] + chunk + png[33:]


def saved(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(stream, kind, **options)
    return stream.getvalue()


def test_a_wide_gamut_profile_is_converted(tmp_path: Path, astronaut: np.ndarray) -> None:
    light = (astronaut / 255.0) ** GAMMA @ P3_TO_XYZ_D50.T @ XYZ_D50_TO_SRGB.T
    light = np.clip(light, 0, 1)
    wanted = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    (tmp_path / "p3.png").write_bytes(saved(astronaut, "PNG", icc_profile=display_p3()))
    error = np.abs(read_picture(tmp_path / "p3.png") - wanted)
    assert error.mean() < 1.0 and np.percentile(error, 99) < 5
    assert np.abs(astronaut - wanted).mean() > 4  # what was shown without it
    rgba = np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    (tmp_path / "rgba.png").write_bytes(saved(rgba, "PNG", icc_profile=display_p3()))
    assert np.array_equal(read_picture(tmp_path / "rgba.png"), read_picture(tmp_path / "p3.png"))


def test_a_profile_of_inks_is_converted(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((64, 64, 4), np.uint8), "CMYK")
    picture.paste((255, 0, 0, 0), (0, 0, 32, 64))
    (tmp_path / "cmyk.tif").write_bytes(saved(picture, "TIFF", icc_profile=inks()))
    read = read_picture(tmp_path / "cmyk.tif")
    assert np.abs(read[32, 8].astype(int) - (109, 148, 197)).max() < 12  # L 60, a 0, b -30 in sRGB
    assert (read[32, 48] > 250).all()


@pytest.mark.parametrize("profile", [b"no profile at all", inks(), display_p3()[:200]])
def test_a_profile_that_cannot_be_used_is_said(
    tmp_path: Path, astronaut: np.ndarray, caplog: pytest.LogCaptureFixture, profile: bytes
) -> None:
    (tmp_path / "a.png").write_bytes(saved(astronaut, "PNG", icc_profile=profile))
    assert np.array_equal(read_picture(tmp_path / "a.png"), astronaut)
    assert "colour profile cannot be used" in caplog.text


def exif_with(entry: bytes) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + b"\0" * 4


EXIFS = {
    "orientation 9": exif_with(struct.pack("<HHIHH", 0x112, 3, 1, 9, 0)),
    "orientation 0": exif_with(struct.pack("<HHIHH", 0x112, 3, 1, 0, 0)),
    "orientation in words": exif_with(struct.pack("<HHI4s", 0x112, 2, 4, b"top\0")),
    "orientation as a fraction": exif_with(struct.pack("<HHII", 0x112, 5, 1, 8)),
    "many orientations": exif_with(struct.pack("<HHII", 0x112, 3, 7, 26)) + struct.pack("<7H", *range(7)),
    "an unknown type": exif_with(struct.pack("<HHIHH", 0x112, 77, 1, 6, 0)),
    "a place outside": exif_with(struct.pack("<HHII", 0x10F, 2, 500, 1 << 31)),
    "numbers where words belong": exif_with(struct.pack("<HHII", 0x10F, 5, 1, 8)),
    "no TIFF": b"Exif\0\0nothing of the kind",
    "nothing": b"Exif\0\0",
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("exif", EXIFS.values(), ids=EXIFS)
def test_a_wrong_exif_value_leaves_the_picture_as_it_is(
    tmp_path: Path, astronaut: np.ndarray, kind: str, exif: bytes
) -> None:
    plain, file = tmp_path / "plain", tmp_path / "exif"
    plain.write_bytes(saved(astronaut[::4, ::4], kind))
    file.write_bytes(saved(astronaut[::4, ::4], kind, exif=exif))
    assert np.array_equal(read_picture(file), read_picture(plain))


def _bad_checksum(png: bytes) -> bytes:
    return with_chunk(png, png_chunk(b"tEXt", b"Comment\0word", crc=1))


def test_damaged_metadata_of_a_whole_picture_is_left_out(
    tmp_path: Path, astronaut: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    file, small = tmp_path / "a.png", np.ascontiguousarray(astronaut[::4, ::4])
    changes: list[Callable[[bytes], bytes]] = [
        _bad_checksum,
        lambda png: with_chunk(png, png_chunk(b"zTXt", b"words\0\0" + zlib.compress(b"long " * 500_000))),
        lambda png: with_chunk(png, png_chunk(b"eXIf", b"II*\0", crc=5)),
    ]
    for change in changes:
        caplog.clear()
        file.write_bytes(change(saved(small, "PNG")))
        assert np.array_equal(read_picture(file), small)
        assert "metadata is damaged" in caplog.text
    jpeg = saved(small, "JPEG")
    file.write_bytes(jpeg)
    plain = read_picture(file)
    file.write_bytes(
        jpeg[:2] + b"\xff\xed" + struct.pack(">H", 30) + b"Photoshop 3.0\0" + b"8BIM\xff" * 2 + b"\xff" * 4 + jpeg[2:]
    )
    assert np.array_equal(read_picture(file), plain)


def flat_png(width: int, height: int, colour: int = 2) -> bytes:
    """Without one row of what it claims, but the first."""
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    row = png_chunk(b"IDAT", zlib.compress(b"\0" * (width * 4 + 1)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + row + png_chunk(b"IEND", b"")


def test_what_a_header_claims_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    for width, height, millions in ((13_000, 13_000, 169), (20_000, 10_000, 200), (60_000, 60_000, 3600)):
        file.write_bytes(flat_png(width, height))
        with pytest.raises(
            MediaError, match=rf"too large: {width}x{height} \({millions} megapixels\), wanted at most 65"
        ) as error:
            read_picture(file)
        assert "DOS" not in str(error.value)
    before = Image.MAX_IMAGE_PIXELS
    assert before is not None  # Pillow's own limit stands for others


def test_a_jpeg_of_many_pixels_is_read_scaled_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "moda")
    picture = Image.new("L", (9_000, 4_000), 90)
    picture.paste(200, (4_500, 0, 9_000, 4_000))
    file = tmp_path / "large.jpg"
    file.write_bytes(saved(picture, "JPEG", quality=20))
    read = read_picture(file)
    assert read.shape == (2000, 4500, 3)
    assert abs(int(read[1000, 1000, 0]) - 90) < 3 and abs(int(read[1000, 4000, 0]) - 200) < 3
    assert "9000x4000 is read at 4500x2000" in caplog.text


@pytest.mark.parametrize(
    "head",
    [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"8BPS\0\1" + b"\0" * 60, b"icns\0\0\0\x40" + b"\0" * 60],
)
def test_formats_of_other_programs_are_not_opened(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.png").write_bytes(head)
    with pytest.raises(MediaError, match="not a picture or video that can be read"):
        read_picture(tmp_path / "a.png")


def test_twelve_bits_and_lab(tmp_path: Path, astronaut: np.ndarray) -> None:
    deep = (np.linspace(0, 1, 64 * 64).reshape(64, 64) * 65535).astype(np.uint16)
    (tmp_path / "deep.tif").write_bytes(saved(deep, "TIFF"))
    assert np.abs(read_picture(tmp_path / "deep.tif")[..., 1] - deep / 257).max() <= 1
    lab = Image.new("LAB", (64, 64), (128, 128, 128))
    (tmp_path / "lab.tif").write_bytes(saved(lab, "TIFF"))
    assert np.abs(read_picture(tmp_path / "lab.tif").astype(int) - 119).max() <= 2  # L 50


def test_hdr_pictures_are_told_and_converted(tmp_path: Path) -> None:
    assert hdr_coding(b"....colrnclx\0\x09\0\x10\0\x09\x80") == HdrCoding(9, PQ)
    assert hdr_coding(b"....colrnclx\0\x01\0\x0d\0\x06\x80") is None
    grey = np.full((64, 64, 3), 148, np.uint8)  # PQ .58 is 203 nits
    (tmp_path / "pq.png").write_bytes(with_chunk(saved(grey, "PNG"), png_chunk(b"cICP", bytes([9, PQ, 0, 1]))))
    white = read_picture(tmp_path / "pq.png")
    assert white.min() > 235 and np.ptp(white.astype(int)) <= 1
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for transfer in (PQ, HLG):
        shown = hdr_to_srgb(ramp, HdrCoding(9, transfer))[0, :, 1].astype(int)
        assert shown[0] == 0 and (np.diff(shown) >= 0).all() and shown[-1] == 255
    # HLG of .5 is scene light 1/12, 1000 / 12 ** 1.2 = 50.7 nits, so a quarter of white: 137 in sRGB.
    assert abs(int(hdr_to_srgb(np.full((1, 1, 3), 128, np.uint8), HdrCoding(9, HLG))[0, 0, 1]) - 137) <= 2
    red = hdr_to_srgb(np.array([[[110, 80, 80]]], np.uint8), HdrCoding(9, PQ))[0, 0].astype(int)
    same = hdr_to_srgb(np.array([[[110, 80, 80]]], np.uint8), HdrCoding(1, PQ))[0, 0].astype(int)
    assert red[0] - red[1] > same[0] - same[1]  # the wider primaries are more saturated

"""Colours of a screen from HDR, and pictures that are turned or mirrored."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from moda.media.video import VideoWriter, probe, read_frames

SIDE = 32
COLOURS = np.array(
    [(200, 40, 40), (40, 160, 60), (50, 60, 190), (224, 172, 105), (120, 80, 60), (128, 128, 128), (230, 230, 230)]
)
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
WHITE_NITS = 203.0


def hlg(light: np.ndarray) -> np.ndarray:
    """BT.2100: light of a display of 1000 cd/m2, relative to white, to a signal."""
    shown = light * WHITE_NITS / 1000
    scene = shown * (shown @ LUMA_2020)[..., None] ** (1 / 1.2 - 1)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


def pq(light: np.ndarray) -> np.ndarray:
    """BT.2100, likewise."""
    power = (light * WHITE_NITS / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


@pytest.mark.parametrize(("name", "encode", "transfer"), [("hlg", hlg, 18), ("pq", pq, 16)])
def test_hdr_keeps_its_colours(tmp_path: Path, name: str, encode, transfer: int) -> None:
    screen = COLOURS / 255
    light = np.where(screen <= 0.04045, screen / 12.92, ((screen + 0.055) / 1.055) ** 2.4) @ TO_2020.T
    signal = encode(light)
    luma = signal @ LUMA_2020
    planes = (64 + 876 * luma, 512 + 896 * (signal[:, 2] - luma) / 1.8814, 512 + 896 * (signal[:, 0] - luma) / 1.4746)
    frame = av.VideoFrame(SIDE * len(COLOURS), SIDE, "yuv444p10le")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((SIDE, plane.line_size // 2), "<u2")
        rows[:, : SIDE * len(COLOURS)] = np.repeat(np.round(values), SIDE)
        plane.update(rows)
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    path = tmp_path / f"{name}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx265", rate=25, options={"crf": "1", "x265-params": "log-level=none:bframes=0"}
        )
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv444p10le"
        context = stream.codec_context
        context.color_primaries = context.colorspace = 9
        context.color_trc, context.color_range = transfer, 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    shown = next(read_frames(path))[SIDE // 2, SIDE // 2 :: SIDE].astype(int)
    assert np.abs(shown - COLOURS).max() <= 24 and np.abs(shown - COLOURS).mean() < 6
    saturation = (np.ptp(shown, axis=1).sum(), np.ptp(COLOURS, axis=1).sum())
    assert saturation[0] == pytest.approx(saturation[1], rel=0.1)


MATRICES = {
    "as stored": ((1, 0, 0, 1), lambda picture: picture),
    "mirrored": ((-1, 0, 0, 1), lambda picture: picture[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda picture: picture[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda picture: picture[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
    "counter-clockwise": ((0, -1, 1, 0), lambda picture: np.rot90(picture)),
    "transposed": ((0, 1, 1, 0), lambda picture: picture.transpose(1, 0, 2)),
    "transposed the other way": ((0, -1, -1, 0), lambda picture: np.rot90(picture, 2).transpose(1, 0, 2)),
}


@pytest.mark.parametrize("way", MATRICES)
def test_a_picture_is_shown_as_its_matrix_says(tmp_path: Path, way: str) -> None:
    numbers, turned = MATRICES[way]
    picture = np.zeros((48, 96, 3), np.uint8)
    picture[:24, :48], picture[24:, 48:] = (255, 0, 0), (0, 0, 255)
    path = tmp_path / "v.mp4"
    with VideoWriter(path, (96, 48), 25) as writer:
        writer.write(picture)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the matrix of version 0
    a, b, c, d = numbers
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    shown, expected = next(read_frames(path)), turned(picture)
    assert shown.shape == expected.shape == (probe(path).height, probe(path).width, 3)
    assert np.abs(shown.astype(int) - expected).mean() < 8

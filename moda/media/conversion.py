"""Frames of a video become pictures of one size and pixel format, upright, HDR tone-mapped.

The filters here keep no state, so they can be made anew wherever the frames change their kind.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc

from moda.media.container import check_picture

_MAX_ASPECT = 10.0
"""A header with pixels stretched by more is damaged."""
_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
_WIDE = (ColorPrimaries.BT2020, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432)
_TO_SCREEN = "out_primaries=bt709:out_transfer=iec61966-2-1:flags=accurate_rnd"
"""Tone-mapped: white of a page (203 cd/m2 of HDR) is white, what is brighter is clipped."""

FOR_VIDEO = ":out_color_matrix=bt601:out_range=tv"
"""Added to the scaler's options for pictures that go into a video file."""

log = logging.getLogger(__name__)


def upright(frame: VideoFrame) -> tuple[list[str], int]:
    """Filters that turn a frame by its display matrix, and the degrees they turn it by, counter-clockwise."""
    matrix: Any = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
    if matrix is not None:
        a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
        if abs(a) >= abs(b):
            turned = [name for name, flipped in (("hflip", a < 0), ("vflip", d < 0)) if flipped]
            return turned, 180 if len(turned) == 2 else 0
        if b > 0:
            return [f"transpose={'cclock_flip' if c > 0 else 'clock'}"], 270
        return [f"transpose={'clock_flip' if c < 0 else 'cclock'}"], 90
    return [], 0


def shown_size(frame: VideoFrame, aspect: float) -> tuple[int, int]:
    """Width and height of a frame as it is shown: upright, with square pixels. aspect: width by height of a pixel."""
    width, height = frame.width, frame.height
    if aspect != 1 and 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        width = max(2, round(width * aspect))
    return (height, width) if upright(frame)[1] in (90, 270) else (width, height)


def scaling(source: tuple[int, int], target: tuple[int, int]) -> str:
    """The scaler's options between two sizes (width, height)."""
    shrinking = target[0] * target[1] < source[0] * source[1]
    return f"flags={'area' if shrinking else 'bicubic'}+accurate_rnd"


@dataclass(frozen=True)
class Picture:
    """What a conversion makes. shown: size of the whole picture. crop: (left, top, side) in its pixels.

    size: width and height of the result. pixels: a format's name of FFmpeg. scaling: options of its scaler.
    """

    shown: tuple[int, int]
    crop: tuple[int, int, int] | None
    size: tuple[int, int]
    pixels: str
    scaling: str


class Conversion:
    """Make `Picture`s of frames whatever their size, rotation and colours; frames of another shape get a black border.

    aspect: width by height of a stored pixel.
    """

    def __init__(self, picture: Picture, aspect: float, path: Path) -> None:
        self._picture, self._aspect, self._path = picture, aspect, path
        self._key: tuple[object, ...] | None = None
        self._graph: Graph | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The picture of a frame."""
        turn, _ = upright(frame)
        key = (
            frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, frame.color_primaries,
            frame.color_trc, *turn,
        )  # fmt: skip
        if key != self._key or self._graph is None:
            if self._key is not None and key[:2] != self._key[:2]:
                log.warning(
                    "%s: the picture changes from %dx%d to %dx%d", self._path, *self._key[:2], frame.width, frame.height
                )
            check_picture(frame.width, frame.height, self._path)
            self._graph, self._key = self._made(frame, turn), key
        frame.pts = None
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _made(self, frame: VideoFrame, turn: list[str]) -> Graph:
        picture = self._picture
        filters = [*turn]
        width, height = shown_size(frame, self._aspect)
        if (width, height) != picture.shown:
            share = min(picture.shown[0] / width, picture.shown[1] / height)
            width, height = (max(2, round(side * share)) for side in (width, height))
        stored = (
            (frame.height, frame.width) if any("transpose" in name for name in turn) else (frame.width, frame.height)
        )
        if (width, height) != stored:
            filters.append(f"scale={width}:{height}:flags=bicubic+accurate_rnd")
        if (width, height) != picture.shown:
            left, top = (picture.shown[0] - width) // 2, (picture.shown[1] - height) // 2
            filters.append(f"pad={picture.shown[0]}:{picture.shown[1]}:{left}:{top}")
        if picture.crop is not None:
            left, top, side = picture.crop
            filters.append(f"crop={side}:{side}:{left}:{top}:exact=1")
        if frame.color_trc in _HDR or frame.color_primaries in _WIDE:
            filters += [f"scale={_TO_SCREEN}", "format=gbrp"]
        filters += [f"scale={picture.size[0]}:{picture.size[1]}:{picture.scaling}", f"format={picture.pixels}"]
        return _graph(frame, filters)


def _graph(frame: VideoFrame, filters: list[str]) -> Graph:
    graph = Graph()
    graph.threads = 1
    colours = {
        name: str(int(value)) for name, value in (("colorspace", frame.colorspace), ("range", frame.color_range))
    }
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}", pix_fmt=frame.format.name, time_base="1/1000", pixel_aspect="1/1",
        **colours,
    )  # fmt: skip
    chain = [source]
    for text in filters:
        name, _, arguments = text.partition("=")
        chain.append(graph.add(name, arguments))
    chain.append(graph.add("buffersink"))
    for one, other in pairwise(chain):
        one.link_to(other)
    graph.configure()
    return graph

"""Audio files made of several, one behind the other, and files whose header has a wrong length.

The libraries read only the first file of such a chain, or fail where the next one has another rate. Here the starts of
the files are found, so that each can be read by itself, and wrong lengths are patched.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_OGG_HEADER_BYTES, _OGG_FIRST_PAGE = 27, 0x02
_FLAC_START = b"fLaC\x00\x00\x00\x22"
"""The mark, and the header of the block that comes first, 34 bytes long."""
_WAVES = (b"RIFF", b"RF64")
_UNKNOWN = 0xFFFFFFFF
_PADDING_BYTES = 65536
"""Zeros over this length behind the samples are padding."""


@dataclass(frozen=True)
class Part:
    """The bytes [begin, end) of a file, options for its demuxer, and patches: position, and the bytes to read there."""

    begin: int
    end: int
    options: dict[str, str] = field(default_factory=dict)
    patches: tuple[tuple[int, bytes], ...] = ()


def audio_parts(path: Path) -> list[Part]:
    """The files that an audio file consists of, in order: one, nearly always."""
    with path.open("rb") as file:
        size = path.stat().st_size
        if size < 12:
            return [Part(0, size)]
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] == b"OggS":
                starts = list(_ogg_starts(data))
            elif data[:4] == b"fLaC":
                starts = list(_flac_starts(data))
            elif data[:4] in _WAVES and data[8:12] == b"WAVE":
                return list(_waves(data))
            elif data[:4] == b"riff" and data[24:28] == b"wave":
                return [Part(0, size, patches=_patches_of_w64(data))]
            elif data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
                return [Part(0, size, patches=_patches_of_aiff(data))]
            elif data[:3] == b"ID3" or (data[0] == 0xFF and _mpeg_layer(data[1])):
                starts = list(_mp3_starts(data))
            else:
                starts = [0]
    starts = starts or [0]
    return [Part(begin, end) for begin, end in zip(starts, [*starts[1:], size], strict=True)]


def _ogg_starts(data: mmap.mmap) -> Iterator[int]:
    """A link of the chain begins with the first pages of its streams, side by side."""
    at, in_headers = 0, False
    while 0 <= at <= len(data) - _OGG_HEADER_BYTES:
        if data[at : at + 4] != b"OggS":
            at = data.find(b"OggS", at + 1)
            continue
        first = bool(data[at + 5] & _OGG_FIRST_PAGE)
        if first and not in_headers:
            yield at
        in_headers = first
        segments = data[at + 26]
        sizes = data[at + _OGG_HEADER_BYTES : at + _OGG_HEADER_BYTES + segments]
        at += _OGG_HEADER_BYTES + segments + sum(sizes)


def _flac_starts(data: mmap.mmap) -> Iterator[int]:
    at = 0
    while at >= 0:
        yield at
        at = data.find(_FLAC_START, at + 4)


def _mp3_starts(data: mmap.mmap) -> Iterator[int]:
    """A tag at the start of a file, with audio right behind it."""
    yield 0
    at = data.find(b"ID3", 1)
    while at >= 0:
        header = data[at : at + 10]
        if len(header) == 10 and 2 <= header[3] <= 4 and max(header[6:]) < 0x80:
            behind = at + 10 + sum(byte << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))
            if behind + 1 < len(data) and data[behind] == 0xFF and _mpeg_layer(data[behind + 1]):
                yield at
        at = data.find(b"ID3", at + 3)


def _mpeg_layer(second: int) -> bool:
    """Is this, after 0xFF, the second byte of an MPEG audio frame (layers 1 to 3; AAC has layer 0)?"""
    return second & 0xE0 == 0xE0 and second & 0x06 != 0 and second & 0x18 != 0x08


def _chunks(data: mmap.mmap, at: int, order: str = "<") -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a RIFF or AIFF file from `at` on: name, where the content starts, its bytes by the header."""
    while at + 8 <= len(data):
        (size,) = struct.unpack(f"{order}I", data[at + 4 : at + 8])
        yield data[at : at + 4], at + 8, size
        at += 8 + size + size % 2


def _waves(data: mmap.mmap) -> Iterator[Part]:
    begin = 0
    while begin < len(data):
        samples, size = _samples(data, begin)
        end = samples + size + size % 2
        if size == _UNKNOWN or end >= len(data):
            wide = data.find(b"ds64", begin, samples)
            unknown = ((wide + 16, struct.pack("<Q", len(data) - samples)),) if wide > 0 else ()
            yield Part(begin, len(data), patches=unknown)
            return
        following, well_formed = _behind_samples(data, end)
        if following is None:
            wrong_length = not well_formed and any(data[end : end + _PADDING_BYTES])
            yield Part(begin, len(data), {"ignore_length": "1"} if wrong_length else {})
            return
        yield Part(begin, following)
        begin = following


def _samples(data: mmap.mmap, begin: int) -> tuple[int, int]:
    """Where the samples of the WAV file at `begin` start, and their bytes by its header; `_UNKNOWN` without."""
    wide = None
    for name, start, size in _chunks(data, begin + 12):
        if name == b"ds64" and start + 16 <= len(data):
            wide = struct.unpack("<Q", data[start + 8 : start + 16])[0]
        if name == b"data":
            return start, wide or size if size == _UNKNOWN else size
    return len(data), _UNKNOWN


def _behind_samples(data: mmap.mmap, at: int) -> tuple[int | None, bool]:
    """Where the next WAV file begins, if only chunks lie between; else None, and whether chunks go on to the end."""
    for name, start, size in _chunks(data, at):
        if name in _WAVES and data[start : start + 4] == b"WAVE":
            return start - 8, True
        if not (name.isascii() and name.decode().isprintable()):
            return None, False
        at = start + size + size % 2
    return None, at <= len(data) + 1


def _patches_of_w64(data: mmap.mmap) -> tuple[tuple[int, bytes], ...]:
    """The size of the samples of a Wave64 file, where it is missing or larger than the file."""
    at = 40
    while at + 24 <= len(data):
        size = struct.unpack("<Q", data[at + 16 : at + 24])[0]
        if data[at : at + 4] == b"data":
            known = 24 < size <= len(data) - at
            return () if known else ((at + 16, struct.pack("<Q", len(data) - at)),)
        at += max(24, size + -size % 8)
    return ()


def _patches_of_aiff(data: mmap.mmap) -> tuple[tuple[int, bytes], ...]:
    """The number and size of the samples of an AIFF file, where they are missing."""
    common = 0
    for name, start, size in _chunks(data, 12, ">"):
        if name == b"COMM":
            common = start
        if name == b"SSND":
            if size > 8 or not common or start + 10 > len(data):
                return ()
            channels, _, bits = struct.unpack(">HIH", data[common : common + 8])
            frames = (len(data) - start - 8) // max(1, channels * ((bits + 7) // 8))
            sizes = ((4, len(data) - 8), (common + 2, frames), (start - 4, len(data) - start))
            return tuple((where, struct.pack(">I", min(size, _UNKNOWN))) for where, size in sizes)
    return ()

"""A picture file becomes RGB, upright and in sRGB: formats, size, orientation, damaged metadata."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from moda.errors import MediaError
from moda.media.colour import hdr_coding, hdr_to_srgb, to_srgb
from moda.media.video import read_frames
from moda.reading import require_file

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "DIB", "PPM", "JPEG2000", "QOI")
"""What Pillow may open: decoders of its own with a clear signature, none that calls another program or a network."""
MAX_PIXELS = 65_000_000
"""A larger picture is refused by what its header claims, unless it is a JPEG, which can be decoded scaled down."""
MAX_PIXELS_OF = {"JPEG2000": 25_000_000, "WEBP": 40_000_000, "AVIF": 40_000_000}
"""Formats whose decoders take more memory for a pixel."""
MAX_JPEG_PIXELS = 400_000_000
"""Even at an eighth of its size a JPEG is decoded block by block: a larger one takes seconds."""
MAX_FULL_SIZE_PIXELS = 32_000_000
"""A larger picture is read at half its size, which shows as much in a video."""
DRAFT_SIDE_PX = 3000
"""A larger JPEG is decoded at the smallest of 1/2, 1/4 and 1/8 whose larger side is not under this, pixels."""
MAX_FILE_BYTES = 1 << 28
"""A larger file is not searched for damaged metadata."""
HEAD_BYTES = 1 << 16
"""Bytes from the start of a file in which its colour coding is looked for."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by the value of EXIF's orientation; any other value: nothing."""
_ORIENTATION, _BITS = 0x0112, 0x0102
"""Tags of TIFF, and so of EXIF."""
_ROWS = 256
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PARTS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, AttributeError,
            OverflowError, ZeroDivisionError, struct.error, zlib.error)  # fmt: skip
"""What Pillow raises at files that are not as they should be."""

log = logging.getLogger(__name__)


def read_picture(path: Path | str) -> np.ndarray:
    """Read a picture as sRGB uint8 (H, W, 3), upright; of a video or an animation, its first frame.

    Turned as its EXIF says, if that can be read; a colour profile and HDR are converted to sRGB; 16-bit, grey, palette
    and CMYK are converted; transparency is laid over white. Above `MAX_FULL_SIZE_PIXELS` it is scaled down.
    Raises `MediaError` for a file that is missing, truncated, too large or no picture.
    """
    path = Path(path)
    require_file(path, "picture")
    try:
        return _decoded(path, path)
    except UnidentifiedImageError:
        bare = _without_metadata(path)
        if bare is None:
            return _first_frame(path)
        cause: Exception | str = "its header cannot be read"
    except MemoryError as error:
        raise MediaError(f"there is not enough memory to decode the picture {path}") from error
    except _DAMAGED as error:
        bare, cause = _without_metadata(path), error
    if bare is not None:  # is only the metadata damaged?
        try:
            picture = _decoded(io.BytesIO(bare), path)
        except _DAMAGED:
            pass
        else:
            log.warning("%s: its metadata is damaged (%s) and left out", path, cause)
            return picture
    raise MediaError(f"the picture is damaged or cut off: {path} ({cause})")


def _decoded(file: Path | io.BytesIO, path: Path) -> np.ndarray:
    with _any_claimed_size(), Image.open(file, formats=FORMATS) as picture:
        _check_size(picture, path)
        picture.load()
        coding = hdr_coding(_head(path)) if picture.format in ("PNG", "AVIF") else None
        pixels = _over_white(_upright(picture), path)
    return pixels if coding is None else hdr_to_srgb(pixels, coding)


@contextlib.contextmanager
def _any_claimed_size() -> Iterator[None]:
    """Let Pillow open a header that claims any size: `_check_size` decides, before a pixel is decoded.

    Pillow's warnings (odd EXIF) are suppressed: they are harmless, or an error follows.
    """
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _check_size(picture: Image.Image, path: Path) -> None:
    """Refuse a picture too large for what it is, or set a JPEG to be decoded at a fraction of its size."""
    width, height = picture.size
    pixels = width * height
    in_blocks = picture.format in ("JPEG", "MPO") and not picture.info.get("progressive")
    most = MAX_JPEG_PIXELS if in_blocks else MAX_PIXELS_OF.get(str(picture.format), MAX_PIXELS)
    if pixels > most:
        raise MediaError(
            f"the picture is too large: {width}x{height} ({pixels / 1e6:.0f} megapixels), wanted at most "
            f"{most / 1e6:.0f} megapixels of a {picture.format}; scale it down first: {path}"
        )
    if in_blocks and pixels > MAX_FULL_SIZE_PIXELS:
        larger = max(width, height)
        picture.draft(None, (width * DRAFT_SIDE_PX // larger, height * DRAFT_SIDE_PX // larger))  # type: ignore[arg-type]
        log.info("%s: %dx%d is read at %dx%d", path, width, height, *picture.size)


def _halved_if_large(picture: Image.Image, path: Path) -> Image.Image:
    """Half the size above `MAX_FULL_SIZE_PIXELS`."""
    width, height = picture.size
    if width * height <= MAX_FULL_SIZE_PIXELS:
        return picture
    log.info("%s: %dx%d is read at half of that", path, width, height)
    return picture.reduce(2)


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF says; EXIF that cannot be read is ignored."""
    try:
        orientation = picture.getexif().get(_ORIENTATION)
    except _DAMAGED:
        return picture
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _over_white(picture: Image.Image, path: Path) -> np.ndarray:
    """Colours of sRGB, uint8 (H, W, 3); what is transparent shows a white page."""
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith("I") or picture.mode == "F":
        return np.asarray(to_srgb(_halved_if_large(Image.fromarray(_eight_bits(picture)), path), profile, path))
    if picture.has_transparency_data:
        picture = _halved_if_large(picture if picture.mode == "RGBA" else picture.convert("RGBA"), path)
        page = Image.new("RGB", picture.size, (255, 255, 255))
        page.paste(to_srgb(picture.convert("RGB"), profile, path), mask=picture.getchannel("A"))
        return np.asarray(page)
    if picture.mode in ("1", "P"):
        picture = picture.convert("RGB")
    return np.asarray(to_srgb(_halved_if_large(picture, path), profile, path))


def _eight_bits(picture: Image.Image) -> np.ndarray:
    """One channel of 12, 16 or 32 bits a sample as uint8 (H, W)."""
    values = np.asarray(picture)
    top = float(np.nanmax(values, initial=0))
    if picture.mode == "F":
        white = 1.0 if top <= 1 else 255.0 if top <= 255 else 65535.0
    else:
        bits = getattr(picture, "tag_v2", {}).get(_BITS, 16)
        white = 4095.0 if bits in (12, (12,)) else 65535.0 if top > 255 else 255.0
    result = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), _ROWS):
        part = np.nan_to_num(values[row : row + _ROWS].astype(np.float32)) * (255.0 / white)
        result[row : row + _ROWS] = np.clip(part + 0.5, 0, 255)
    return result


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _without_metadata(path: Path) -> bytes | None:
    """A PNG, JPEG or WebP with nothing but its picture; None for another file, or one with nothing to leave out."""
    head = _head(path)
    if not (head.startswith((_PNG, b"\xff\xd8")) or head[8:12] == b"WEBP") or path.stat().st_size > MAX_FILE_BYTES:
        return None
    data = path.read_bytes()
    if data.startswith(_PNG):
        parts = [data[:8], *(part for name, part in _png_chunks(data) if name in _PNG_PARTS)]
    elif data.startswith(b"\xff\xd8"):
        parts = [data[:2], *_jpeg_segments(data)]
    else:
        parts = [data[:12], *(part for name, part in _riff_chunks(data) if name not in (b"EXIF", b"XMP ", b"ICCP"))]
        size = sum(map(len, parts)) - 8
        parts[0] = b"RIFF" + struct.pack("<I", size) + data[8:12]
    bare = b"".join(parts)
    return bare if len(bare) < len(data) else None


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at : at + 12 + length]
        at += 12 + length


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4], data[at : at + 8 + length + length % 2]
        at += 8 + length + length % 2


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    """Segments without application data and comments, but with JFIF's and Adobe's, which say how colours are stored."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        if marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            yield data[at : at + 2 + length]
        at += 2 + length
    yield data[at:]


def _first_frame(path: Path) -> np.ndarray:
    try:
        frames = read_frames(path, fps=None)
        first = next(frames).copy()
        frames.close()  # type: ignore[attr-defined]
    except MediaError as error:
        raise MediaError(
            f"not a picture or video that can be read: {path} ({error}); wanted JPEG, PNG, WebP, AVIF, TIFF or a video"
        ) from error
    return first

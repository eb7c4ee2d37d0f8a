"""The ffmpeg program that imageio_ffmpeg brings, called with argument lists and never through a shell."""

from __future__ import annotations

import re
import signal
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg

from moda.errors import MediaError

QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error")
_CONTEXT = re.compile(r"^\[[^\]]* @ 0x[0-9a-f]+\] ")


@lru_cache(maxsize=1)
def ffmpeg_program() -> str:
    """Path of the ffmpeg binary; raises `MediaError` if imageio-ffmpeg brought none."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MediaError(f"no ffmpeg found ({error}); reinstall imageio-ffmpeg or set IMAGEIO_FFMPEG_EXE") from error


def require_file(path: Path, what: str) -> None:
    """Raise `MediaError` unless `path` is a file that can be opened and holds something."""
    if not path.exists():
        raise MediaError(f"no such {what}: {path}")
    if path.is_dir():
        raise MediaError(f"wanted a {what}, got a folder: {path}")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise MediaError(f"cannot read {what} {path}: {error.strerror}") from error
    if empty:
        raise MediaError(f"the {what} is empty (0 bytes): {path}")


def last_line(stderr: bytes | str, code: int | None = None) -> str:
    """The last line that ffmpeg said (its own addresses removed), or how it ended."""
    text = stderr.decode("utf-8", "replace") if isinstance(stderr, bytes) else stderr
    lines = [_CONTEXT.sub("", line.strip()) for line in text.splitlines() if line.strip()]
    if lines:
        return lines[-1]
    if code is not None and code < 0:
        return f"ffmpeg was ended by {signal.Signals(-code).name}"
    return f"ffmpeg exited with code {code}" if code is not None else "ffmpeg said nothing"

"""What a video file holds, read from what `ffmpeg -i` prints (there is no ffprobe here)."""

from __future__ import annotations

import math
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from moda.errors import MediaError
from moda.media.ffmpeg import describe, ffmpeg_program, input_arguments, last_line, require_file
from moda.representation import FPS

_STREAM = re.compile(r"^\s*Stream #\d+:\d+.*?: (Video|Audio): (.*)$", re.MULTILINE)
_SIZE = re.compile(r"[ ,](\d{1,5})x(\d{1,5})(?=[ ,\n]|$)")
_DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_ROTATION = re.compile(r"display ?matrix: rotation of (-?\d+(?:\.\d+)?) degrees", re.IGNORECASE)


@dataclass(frozen=True)
class VideoInfo:
    """What a video holds.

    width, height: pixels as shown (rotation and pixel aspect applied, as `read_frames` yields).
    fps: nominal frames per second. seconds: length. rotation: degrees that were applied.
    square_pixels: False if the stored picture is stretched to be shown.
    """

    width: int
    height: int
    fps: float
    seconds: float
    has_audio: bool
    rotation: int = 0
    square_pixels: bool = True


def probe(path: Path | str) -> VideoInfo:
    """Read a video's size, rate, length and streams; raises `MediaError` if it is not a video."""
    path = Path(path)
    require_file(path, "video")
    text = describe(path)
    streams = [(m.group(1), m.group(2), m.end()) for m in _STREAM.finditer(text)]
    videos = [(line, end) for kind, line, end in streams if kind == "Video" and "attached pic" not in line]
    has_audio = any(kind == "Audio" for kind, _, _ in streams)
    if not streams:
        raise MediaError(f"not a video that can be read: {path} ({_reason(text)})")
    if not videos:
        raise MediaError(f"no picture in {path}; wanted a video")
    line, end = videos[0]
    size = _SIZE.search(line)
    if size is None or "0" in size.groups():
        raise MediaError(f"the size of the video cannot be read, it may be cut off: {path}")
    width, height = int(size.group(1)), int(size.group(2))
    aspect = re.search(r"\bSAR (\d+):(\d+)", line)
    ratio = int(aspect.group(1)) / int(aspect.group(2)) if aspect and "0" not in aspect.groups() else 1.0
    if ratio != 1.0:
        width = max(2, round(width * ratio))
    following = [start for kind, _, start in streams if start > end]
    rotation = _ROTATION.search(text, end, following[0] if following else len(text))
    degrees = round(float(rotation.group(1))) % 360 if rotation else 0
    if degrees in (90, 270):
        width, height = height, width
    return VideoInfo(width, height, _rate(line), _seconds(text, path), has_audio, degrees, ratio == 1.0)


def check_streams(path: Path | str, audio: bool = True) -> VideoInfo:
    """Check that a written file holds a video stream and, if wanted, a sound stream."""
    info = probe(path)
    if audio and not info.has_audio:
        raise MediaError(f"no sound in {path}; wanted a video with sound")
    return info


def _reason(text: str) -> str:
    lines = [line for line in text.splitlines() if "Error opening input" not in line]
    return last_line("\n".join(lines)).removesuffix(":") if lines else last_line(text)


def _rate(line: str) -> float:
    for unit in ("fps", "tbr"):
        found = re.search(rf"(\d+(?:\.\d+)?)(k?) {unit}\b", line)
        if found:
            rate = float(found.group(1)) * (1000.0 if found.group(2) else 1.0)
            for whole in (24, 30, 48, 60, 120):  # ffmpeg prints 29.97 for 30000/1001
                if math.isclose(rate, whole * 1000 / 1001, abs_tol=0.006):
                    return whole * 1000 / 1001
            return rate
    return FPS


def _seconds(text: str, path: Path) -> float:
    found = _DURATION.search(text)
    if found is None:  # the container does not say (a raw stream, a browser's recording): count packets
        command = [ffmpeg_program(), "-hide_banner", "-nostdin", *input_arguments(path)]
        command += ["-map", "0:V:0", "-c", "copy", "-f", "null", "-"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        times = re.findall(r"time=(\d+):(\d\d):(\d\d(?:\.\d+)?)", done.stderr.decode("utf-8", "replace"))
        if not times:
            return 0.0
        hours, minutes, seconds = times[-1]
    else:
        hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)

"""Size, rate, length and streams of a video file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from moda.errors import MediaError
from moda.media.container import main_track, open_container, tracks
from moda.media.conversion import shown_size, upright
from moda.media.timeline import decoded, length_of
from moda.representation import FPS


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video.

    width, height: pixels as shown (rotation and pixel aspect applied, as `read_frames` yields).
    fps: nominal frames per second. seconds: length, 0 if it is not known. rotation: degrees that were applied.
    pixel_aspect: width by height of a stored pixel.
    """

    width: int
    height: int
    fps: float
    seconds: float
    has_audio: bool
    rotation: int = 0
    pixel_aspect: float = 1.0


def probe(path: Path | str) -> VideoInfo:
    """Read a video's size, rate, length and streams; raises `MediaError` if it is not a video."""
    path = Path(path)
    with open_container(path, "video") as container:
        stream = main_track(container, "video")
        if not isinstance(stream, VideoStream):
            raise MediaError(f"no picture in {path}; wanted a video")
        aspect = float(stream.sample_aspect_ratio or 1)
        rate = float(stream.average_rate or stream.guessed_rate or FPS)
        has_audio = bool(tracks(container, "audio"))
        width, height, rotation = stream.codec_context.width, stream.codec_context.height, 0
        first = _first_frame(path)
        if first is not None:
            (width, height), rotation = shown_size(first, aspect), upright(first)[1]
        if width < 1 or height < 1:
            raise MediaError(f"the size of the video cannot be read, it is cut off or too large: {path}")
        return VideoInfo(width, height, rate, length_of(path), has_audio, rotation, aspect)


def check_streams(path: Path | str, audio: bool = True) -> VideoInfo:
    """Check that a written file holds a video stream and, if wanted, an audio stream."""
    info = probe(path)
    if audio and not info.has_audio:
        raise MediaError(f"no audio in {path}; wanted a video with audio")
    return info


def _first_frame(path: Path) -> VideoFrame | None:
    try:
        frame = next(decoded(path, "video", "video", quiet=True)).frame
    except MediaError:
        return None
    return frame if isinstance(frame, VideoFrame) else None

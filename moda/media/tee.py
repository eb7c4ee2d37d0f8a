"""One decode of a source video, two outputs: a file is written while Python looks at small pictures.

Frames never pass through Python on their way to the file, so their colours are converted once and
copied never; the pictures that are looked at come as small as the one who looks can use them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from moda.errors import OutputError
from moda.media.ffmpeg import QUIET, ffmpeg_program, input_arguments
from moda.media.probe import VideoInfo
from moda.media.video import crop_filter, pipe_frames, time_filters
from moda.representation import FPS

CRF, GOP, PRESET = 16, 12, "ultrafast"
"""Of the stored video. The preset only trades file size for time: "veryfast" took a quarter more CPU over all steps."""
_COLOUR = ("-colorspace", "smpte170m", "-color_primaries", "smpte170m", "-color_trc", "smpte170m", "-color_range", "tv")
SEEK_FROM = 10.0
"""Later starts are sought, not decoded to; the seek aims some seconds before the start."""
LEAD = 100
"""Frames at 25 fps that are decoded at the least before a start that was sought."""


def frames_with_thumbnails(
    path: Path,
    info: VideoInfo,
    thumbnails: Path,
    *,
    every: int,
    height: int,
    side: int,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[np.ndarray]:
    """Yield one frame in `every` of the video at 25 fps; all of them go to a file as thumbnails.

    Frames: RGB uint8, shrunk to `height` if they are taller. thumbnails: written raw, `side` x `side`
    grey levels a frame (`read_thumbnails`). start, stop: frames at 25 fps.
    Raises `MediaError` if not one frame can be decoded, `OutputError` if the file cannot be written.
    """
    width, tall = info.width, info.height
    if tall > height:
        width, tall = max(2, round(width * height / tall)), height
    seek, trim = _from(start, stop)
    graph = (
        f"[0:V:0]{','.join([*time_filters(info), *trim])},split[all][few];"
        f"[all]scale={side}:{side}:flags=area,format=gray[small];"
        f"[few]framestep={every},scale={width}:{tall}:flags=bilinear,format=rgb24[seen]"
    )
    command = [
        *(ffmpeg_program(), *QUIET, "-y", "-threads", "1", *seek, *input_arguments(path), "-an"),
        *("-filter_complex", graph, "-filter_complex_threads", "1"),
        *("-map", "[small]", "-fps_mode", "passthrough", "-f", "rawvideo", f"file:{thumbnails.absolute()}"),
        *("-map", "[seen]", "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"),
    ]
    yield from pipe_frames(command, path, (tall, width, 3), writes=thumbnails)


def read_thumbnails(path: Path, side: int) -> np.ndarray:
    """(T, side, side) uint8 grey levels written by `frames_with_thumbnails`, not read until they are used."""
    count = path.stat().st_size // (side * side)
    if count == 0:
        return np.zeros((0, side, side), np.uint8)
    return np.memmap(path, np.uint8, "r", shape=(count, side, side))


def frames_while_storing(
    path: Path,
    info: VideoInfo,
    stored: Path,
    *,
    size: int,
    side: int,
    crop: tuple[int, int, int],
    start: int,
    stop: int,
    tags: dict[str, str],
) -> Iterator[np.ndarray]:
    """Yield frames [start, stop) of the video at 25 fps, cropped, `side` x `side`; they are stored at `size` x `size`.

    crop: (left, top, side) in pixels of the shown picture. Frames: RGB uint8. The stored video is H.264
    with short groups of pictures and no B-frames, for random access (`VideoReader`). It is whole when
    the iterator ends by itself, and not before. A file that was there is removed first, not written into.
    Raises `MediaError` if not one frame can be decoded, `OutputError` if the file cannot be written.
    """
    left, top, box = crop
    cut = crop_filter(info, path, left, top, box)
    seek, trim = _from(start, stop)
    assert side % 2 == 0 and size % 2 == 0, "4:2:0 pictures have even sides"

    def scale(wanted: int) -> str:
        flags = "flags=" + ("area" if wanted < box else "bicubic") + "+accurate_rnd"
        return f"scale={wanted}:{wanted}:{flags}:out_color_matrix=bt601:out_range=tv,format=yuv420p"

    graph = (
        f"[0:V:0]{','.join([*time_filters(info), *trim, cut, scale(size)])},split[kept][whole];"
        f"[whole]scale={side}:{side}:flags=bilinear,format=yuv420p[seen]"
    )
    command = [
        *(ffmpeg_program(), *QUIET, "-y", "-threads", "1", *seek, *input_arguments(path), "-an"),
        *("-filter_complex", graph, "-filter_complex_threads", "1", "-map", "[kept]", "-fps_mode", "passthrough"),
        *("-c:v", "libx264", "-crf", str(CRF), "-preset", PRESET, "-threads", "1"),
        *("-g", str(GOP), "-keyint_min", str(GOP), "-sc_threshold", "0", "-bf", "0", *_COLOUR),
        *("-map_metadata", "-1", *(part for key, value in tags.items() for part in ("-metadata", f"{key}={value}"))),
        *("-movflags", "+faststart", "-f", "mp4", f"file:{stored.absolute()}"),
        *("-map", "[seen]", "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"),
    ]
    try:
        stored.unlink(missing_ok=True)  # it may have another name, too (`data_prepare.own_files.link_files`)
    except OSError as error:
        raise OutputError(f"cannot write {stored}: {error.strerror or error}") from error
    for planes in pipe_frames(command, path, (side * 3 // 2, side), strict=True, writes=stored):
        yield cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)


def _from(start: int, stop: int | None) -> tuple[list[str], list[str]]:
    """Seeking options, and filters after which frames [start, stop) at 25 fps are left, numbered from 0."""
    second = int(FPS)  # whole seconds are exact in the time base of any video: no frame is rounded another way
    skipped = (start - LEAD) // second * second if start > SEEK_FROM * FPS else 0
    seek = ["-ss", str(skipped // second)] if skipped else []
    end = "" if stop is None else f":end_frame={stop - skipped}"
    trim = [f"trim=start_frame={start - skipped}{end}"] if start or end else []
    return seek, [*trim, f"setpts=N/({FPS}*TB)"]

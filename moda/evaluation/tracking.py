"""Face tracks of whole videos: each tracked once, cached on disk, several videos at a time."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from moda.errors import DataError, ModaError, OutputError
from moda.file_hash import sha256_of
from moda.files import make_folder, write_npz
from moda.landmarks import N_LANDMARKS
from moda.metrics.tracks import VideoTrack
from moda.processes import end_with_parent, in_processes
from moda.reading import read_arrays
from moda.representation import FPS

logger = logging.getLogger(__name__)

VERSION = 1
"""Raised whenever the same video would give another track, or the file another layout."""
MAX_TRACK_BYTES = 1 << 30
"""Largest file of a cached track: two hours."""


@dataclass(frozen=True)
class Unreadable:
    """A video that could not be tracked, and the reason in words."""

    why: str


def tracker_version() -> str:
    """Versions that a track depends on: of this module, the frame rate, the face tracker's package."""
    return f"v{VERSION}-{FPS:g}fps-mediapipe{importlib.metadata.version('mediapipe')}"


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, the first 32 hex digits."""
    return sha256_of(path)[:32]


def track_videos(
    paths: Iterable[Path],
    cache: Path,
    jobs: int = 1,
    progress: Callable[[Path], None] | None = None,
    frames: int | None = None,
) -> dict[Path, VideoTrack | Unreadable]:
    """Tracks of many videos, `jobs` processes at a time; a file tracked before is read from `cache`.

    cache: folder of tracks, named by the video's content and the tracker's version. frames: only the first ones.
    progress: called as each video is done. Raises `OutputError` when the cache cannot be written; a video that cannot
    be read comes back as `Unreadable`.
    """
    make_folder(cache)
    done: dict[Path, VideoTrack | Unreadable] = {}

    def finish(path: Path, result: VideoTrack | Unreadable) -> None:
        done[path] = result
        if progress is not None:
            progress(path)

    todo: dict[Path, list[Path]] = {}  # file of the track -> videos of that content
    for path in dict.fromkeys(paths):
        try:
            part = "" if frames is None else f"-first{frames}"
            cached = cache / f"{content_hash(path)}-{tracker_version()}{part}.npz"
        except OSError as error:
            finish(path, Unreadable(f"cannot read {path}: {error.strerror or error}"))
            continue
        track = _load(cached)
        if track is None:
            todo.setdefault(cached, []).append(path)
        else:
            finish(path, track)
    files = [(videos[0], cached, frames) for cached, videos in todo.items()]
    for (path, cached, _), result in in_processes(_track_file, files, jobs, _begin):
        died = Unreadable(f"a tracking process died while {path} was waiting or being tracked")
        for video in todo[cached]:
            finish(video, died if result is None else result)
    return done


def _begin() -> None:
    """End with the parent, and mute the log lines of native code: this process's stderr is closed."""
    end_with_parent()
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    os.close(sink)


def _track_file(job: tuple[Path, Path, int | None]) -> VideoTrack | Unreadable:
    """Track a video and write the track to a file; raises `OutputError` when that cannot be written."""
    path, cached, frames = job
    try:
        track = _track(path, frames)
    except OutputError:
        raise
    except ModaError as error:
        return Unreadable(str(error))
    _save(cached, track)
    return track


def _track(path: Path, frames: int | None) -> VideoTrack:
    from moda.media.video import read_frames
    from moda.tracking.face import FaceTracker

    rows: list[np.ndarray] = []
    height = width = 0
    with FaceTracker(video=True) as tracker:
        for frame in islice(read_frames(path, fps=FPS), frames):
            height, width = frame.shape[:2]
            face = tracker.track(frame)
            rows.append(np.full((N_LANDMARKS, 3), np.nan) if face is None else face)
    landmarks = np.stack(rows) if rows else np.zeros((0, N_LANDMARKS, 3))
    return VideoTrack(landmarks.astype(np.float32), width, height)


def _load(path: Path) -> VideoTrack | None:
    """A cached track, or None when there is none or the file is damaged."""
    if not path.is_file():
        return None
    try:
        data = read_arrays(path, ("landmarks", "width", "height"), limit=MAX_TRACK_BYTES)
        track = VideoTrack(data["landmarks"], int(data["width"]), int(data["height"]))
        if track.landmarks.shape[1:] != (N_LANDMARKS, 3):
            raise ValueError(f"landmarks of shape {track.landmarks.shape}")
    except (DataError, ValueError, TypeError) as error:
        logger.warning("the cached track %s is damaged (%s): tracking that video again", path, error)
        return None
    return track


def _save(path: Path, track: VideoTrack) -> None:
    size = {"width": np.array(track.width), "height": np.array(track.height)}
    write_npz(path, {"landmarks": track.landmarks, **size})

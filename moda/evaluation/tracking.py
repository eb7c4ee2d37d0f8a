"""Face tracks of whole videos: each tracked once, cached on disk, several videos at a time."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np

from moda.errors import DataError, ModaError, OutputError
from moda.evaluation.folders import Panel
from moda.file_hash import sha256_of
from moda.files import make_folder, write_npz
from moda.landmarks import N_LANDMARKS
from moda.metrics.tracks import VideoTrack
from moda.processes import Pool
from moda.reading import read_arrays
from moda.representation import FPS

logger = logging.getLogger(__name__)

VERSION = 1
"""Raised whenever the same video would give another track, or the file another layout."""
MAX_TRACKED_FRAMES = 15_000
"""Frames of a video that are tracked, and so scored: 10 minutes. Landmarks of half an hour, as all metrics
need them, fill a small memory."""
MAX_TRACK_BYTES = 1 << 30
"""Largest file of a cached track: two hours."""
TrackJob = tuple[Path, Path, int | None, Panel | None]
"""A video, the file of its track, and `frames` and panel as `track_videos` has them."""


@dataclass(frozen=True)
class Unreadable:
    """A video that could not be tracked, and the reason in words."""

    why: str


@dataclass(frozen=True)
class TrackFile:
    """A track in the cache. content: hash of the video's bytes. frames: of the track; faceless: without a face."""

    path: Path
    content: str
    frames: int
    faceless: int

    def load(self) -> VideoTrack:
        """The track itself; raises `OutputError` if the file has gone or was damaged since."""
        track = _load(self.path)
        if track is None:
            raise OutputError(f"the track {self.path} has gone since it was read: do not change the output folder")
        return track


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
    panels: Mapping[Path, Panel] | None = None,
) -> dict[Path, TrackFile | Unreadable]:
    """Tracks of many videos in `cache`, `jobs` processes at a time; a video tracked before is not tracked again.

    cache: folder of tracks, named by the video's content and the tracker's version. frames: only the first ones.
    panels: of videos in which several pictures stand side by side, the one to track. progress: called as each video is
    done. Raises `OutputError` when the cache cannot be written; a video that cannot
    be read comes back as `Unreadable`.
    """
    make_folder(cache)
    done: dict[Path, TrackFile | Unreadable] = {}
    panels = panels or {}

    def finish(path: Path, result: TrackFile | Unreadable) -> None:
        done[path] = result
        if progress is not None:
            progress(path)

    todo: dict[Path, list[Path]] = {}  # file of the track -> videos of that content
    for path in dict.fromkeys(paths):
        try:
            panel = panels.get(path)
            part = "" if frames is None else f"-first{frames}"
            part += "" if panel is None else f"-panel{panel.number}of{panel.of}"
            cached = cache / f"{content_hash(path)}-{tracker_version()}{part}.npz"
        except OSError as error:
            finish(path, Unreadable(f"cannot read {path}: {error.strerror or error}"))
            continue
        track = _load(cached)
        if track is None:
            todo.setdefault(cached, []).append(path)
        else:
            finish(path, _summary(cached, track))
    files = [(videos[0], cached, frames, panels.get(videos[0])) for cached, videos in todo.items()]
    pool: Pool[TrackJob, TrackFile | Unreadable] = Pool(_track_file, _quiet, max(1, min(jobs, len(files))))
    for (path, cached, _, _), result in pool.run(files):
        died = Unreadable(f"the process that tracked {path} died, twice")
        for video in todo[cached]:
            finish(video, died if result is None else result)
    return done


def _quiet(counter: Synchronized[int]) -> None:
    """Mute the log lines of native code: this process's stderr is closed."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    os.close(sink)


def _summary(path: Path, track: VideoTrack) -> TrackFile:
    return TrackFile(path, path.name.split("-")[0], len(track), int((~track.tracked).sum()))


def _track_file(job: TrackJob) -> TrackFile | Unreadable:
    """Track a video and write the track to a file; raises `OutputError` when that cannot be written."""
    path, cached, frames, panel = job
    try:
        track = _track(path, frames, panel)
    except OutputError:
        raise
    except ModaError as error:
        return Unreadable(str(error))
    _save(cached, track)
    return _summary(cached, track)


def _track(path: Path, frames: int | None, panel: Panel | None) -> VideoTrack:
    from moda.media.video import read_frames
    from moda.tracking.face import FaceTracker

    rows: list[np.ndarray] = []
    height = width = 0
    with FaceTracker(video=True) as tracker:
        for frame in islice(read_frames(path, fps=FPS), min(frames or MAX_TRACKED_FRAMES, MAX_TRACKED_FRAMES)):
            if panel is not None:
                side = frame.shape[1] // panel.of
                frame = np.ascontiguousarray(frame[:, panel.number * side : (panel.number + 1) * side])
            height, width = frame.shape[:2]
            face = tracker.track(frame)
            rows.append(np.full((N_LANDMARKS, 3), np.nan, np.float32) if face is None else face.astype(np.float32))
    landmarks = np.stack(rows) if rows else np.zeros((0, N_LANDMARKS, 3), np.float32)
    return VideoTrack(landmarks, width, height)


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

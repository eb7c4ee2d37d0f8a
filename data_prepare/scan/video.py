"""The scan of a video: its shots, who speaks in them, and the crop of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from data_prepare.job import Rejected
from data_prepare.options import Options
from data_prepare.scan.shots import (
    MIN_SHOT_SECONDS,
    MIN_SINGLE_SECONDS,
    SAMPLE_STEP_FRAMES,
    Sample,
    Shot,
    divided,
    face_runs,
    picture_cuts,
    speaker,
    stretches,
)
from data_prepare.sources.folder import SourceVideo, source_stamp
from data_prepare.steps.probe import check, read_info
from moda.errors import DataError
from moda.files import temporary_file, write_json
from moda.imaging.crop import square_box
from moda.imaging.landmark_strip import write_strip
from moda.media.decode_and_store import VideoRange, frames_with_thumbnails, read_thumbnails
from moda.media.video import VideoInfo
from moda.reading import read_json
from moda.representation import FPS
from moda.tracking.face import FaceTracker

VERSION = 1
MAX_HEIGHT_PX = 480
"""Faces are looked for in pictures of at most this height: the detector itself works on 128 or 192 pixels."""
THUMBNAIL_SIDE_PX = 32
MAX_FACES = 3
MIN_DECODED_SHARE = 0.9
"""Least share of the announced length that can be decoded; else the file is cut off."""
STRIP_FRAMES = 8
"""Frames shown in the report's strip."""


@dataclass(frozen=True)
class Scan:
    """Shots of a video; or none, and why. frames: of the video at 25 fps."""

    shots: tuple[Shot, ...]
    frames: int
    reason: str = ""

    @property
    def left_out(self) -> int:
        """Frames that are in no shot."""
        return self.frames - sum(shot.stop - shot.start for shot in self.shots)


_STORED = TypeAdapter(Scan)


def scan_stamp(source: SourceVideo, options: Options) -> dict[str, Any]:
    """What a scan depends on: equal stamps mean equal scans."""
    settings = {"max_seconds": options.max_seconds, "min_face": options.limits.min_face}
    part = None if source.part is None else asdict(source.part.cut) | {"video": source.name}
    stamp = {
        "version": VERSION,
        "source": source.name,
        "file": source_stamp(source.path),
        "allow_silent": options.allow_silent,
        "settings": settings,
        "part": part,
    }
    return dict(json.loads(json.dumps(stamp)))


def scan_path(out: Path, source: SourceVideo) -> Path:
    """Where the scan of a video is stored."""
    return out / "scans" / f"{source.clip_id}.json"


def read_scan(path: Path, stamp: dict[str, Any]) -> Scan | None:
    """The scan stored at `path`, or None if there is none with this stamp that is whole."""
    if not path.is_file():
        return None
    record = read_json(path)
    if record.get("stamp") != stamp:
        return None
    try:
        scan = _STORED.validate_python({name: record.get(name) for name in ("shots", "frames", "reason")})
    except ValidationError as error:
        raise DataError(f"{path} is not a scan: {error.errors()[0]['msg']}") from error
    if any(not 0 <= shot.start < shot.stop or shot.box.side < 1 for shot in scan.shots):
        raise DataError(f"{path} is not a scan: a shot without frames or picture")
    return scan


def write_scan(path: Path, scan: Scan, stamp: dict[str, Any]) -> None:
    """Store a scan."""
    shots = [{**shot._asdict(), "box": list(shot.box)} for shot in scan.shots]
    write_json(path, {"stamp": stamp, "frames": scan.frames, "reason": scan.reason, "shots": shots})


def scan_video(source: SourceVideo, folder: Path, options: Options, tick: Callable[[int], None]) -> Scan:
    """Scan a video, or the part of it that a list names; leaves a strip of pictures in `folder`.

    Raises `Rejected` or `MediaError` if nothing in it can be used.
    """
    info = read_info(source.path)
    check(info, options)
    wanted = VideoRange(source.path, info)
    if source.part is not None:
        wanted = wanted._replace(start=source.part.start, stop=source.part.stop)
    with temporary_file(folder / f"{source.clip_id}.raw") as path:
        samples, pictures = _sample_faces(wanted, path, tick)
        thumbnails = read_thumbnails(path, THUMBNAIL_SIDE_PX)
        frames = len(thumbnails)
        _check_whole(frames, wanted.expected_frames)
        cuts = picture_cuts(thumbnails) if source.part is None else []
    write_strip(folder / f"{source.clip_id}.jpg", *pictures)
    if source.part is not None:
        return Scan((_listed_shot(source, info, samples, wanted.start, wanted.start + frames),), frames)
    shots = _find_shots(samples, [0, *cuts, frames], info, options)
    return Scan(tuple(shots), frames)


def _sample_faces(
    video: VideoRange, thumbnails: Path, tick: Callable[[int], None]
) -> tuple[list[Sample], tuple[list[np.ndarray], list[np.ndarray | None]]]:
    """Faces in one frame of `SAMPLE_STEP_FRAMES`, in source pixels; a few pictures and their faces for the report."""
    samples: list[Sample] = []
    pictures: list[np.ndarray] = []
    drawn: list[np.ndarray | None] = []
    expected = round(video.expected_frames)
    shown = set(np.linspace(0, max(0, expected // SAMPLE_STEP_FRAMES - 1), STRIP_FRAMES).round().astype(int).tolist())
    with FaceTracker(video=False, max_faces=MAX_FACES) as tracker:
        sampled = frames_with_thumbnails(
            video, thumbnails, every=SAMPLE_STEP_FRAMES, height=MAX_HEIGHT_PX, side=THUMBNAIL_SIDE_PX
        )
        for number, frame in enumerate(sampled):
            faces = tracker.faces(frame)
            if number in shown:
                pictures.append(frame)
                drawn.append(faces[0] if faces else None)
            scale = video.info.width / frame.shape[1]
            samples.append(Sample(number * SAMPLE_STEP_FRAMES, [face * scale for face in faces]))
            tick(1)
    return samples, (pictures, drawn)


def _check_whole(frames: int, expected: float) -> None:
    if frames < MIN_DECODED_SHARE * expected - 5:
        raise Rejected(f"only {frames} of about {expected:.0f} frames can be decoded: the file is cut off or broken")


def _find_shots(samples: list[Sample], edges: list[int], info: VideoInfo, options: Options) -> list[Shot]:
    """The speaker of every shot, where he stays; raises `Rejected` if there is none large and long enough."""
    shots: list[Shot] = []
    found, largest, several = False, 0.0, len(edges) > 2
    for first, last in pairwise(edges):
        run, people = speaker(face_runs([sample for sample in samples if first <= sample.frame < last]))
        if run is None:
            continue
        found, largest = True, max(largest, run.size)
        if run.size < options.limits.min_face:
            continue
        parts = stretches(run, first, last)
        shortest = (MIN_SHOT_SECONDS if several or len(parts) > 1 else MIN_SINGLE_SECONDS) * FPS
        for start, stop in parts:
            if stop - start < shortest:
                continue
            inside = (run.frames >= start) & (run.frames < stop)
            box = square_box(run.landmarks[inside], info.width, info.height)
            shots += [Shot(*piece, box, people) for piece in divided(start, stop, options.max_seconds)]
    if not found:
        raise Rejected(f"no face found in any of {len(samples)} frames looked at")
    if largest < options.limits.min_face:
        raise Rejected(
            f"the face is {largest:.0f} pixels large in the source, wanted at least {options.limits.min_face:g}"
        )
    if not shots:
        raise Rejected(f"no face stays for {MIN_SHOT_SECONDS:g} s in any of {len(edges) - 1} shots")
    return shots


def _listed_shot(source: SourceVideo, info: VideoInfo, samples: list[Sample], start: int, stop: int) -> Shot:
    """The shot that a list names: its own crop, or one placed by the speaker's face."""
    assert source.part is not None
    run, people = speaker(face_runs(samples))
    box = source.part.cut.box_in(info.width, info.height)
    if box is None:
        if run is None:
            raise Rejected(f"no face found in any of {len(samples)} frames looked at, and no crop is listed")
        box = square_box(run.landmarks, info.width, info.height)
    return Shot(start, stop, box, max(people, 1), exact=True)

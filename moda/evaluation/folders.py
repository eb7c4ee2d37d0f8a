"""Folders of videos, by file stem, and how each was generated, where generation.json records it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from moda.data.store import ClipStore
from moda.errors import DataError
from moda.imaging.crop import Box
from moda.reading import read_json

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg")
SEED_FOLDER = re.compile(r"seed_(\d+)")
GENERATION_RECORD = "generation.json"
"""Record beside videos that were generated here."""


@dataclass(frozen=True)
class TrueClips:
    """The true side: videos by clip, usually one path each; who is in them, where that is known."""

    videos: dict[str, list[Path]]
    identities: dict[str, str] = field(default_factory=dict)


class Panel(NamedTuple):
    """One of several pictures of equal width that stand side by side in a frame, counted from 0 at the left."""

    number: int
    of: int


@dataclass(frozen=True)
class MadeClip:
    """How one video was generated: by generation.json, or by what is known of another method (outputs.py).

    shown: the square of the true picture that it shows. real_time_factor: seconds of work per second of video.
    panel: the part of its frames that is compared. starts: the clip's frame that it shows first, at 25 a second.
    sound_of: the method that writes sound into its results.
    """

    shown: Box | None = None
    real_time_factor: float | None = None
    panel: Panel | None = None
    starts: int = 0
    sound_of: str | None = None


@dataclass(frozen=True)
class GeneratedClips:
    """One method's videos.

    videos: by clip, those that are scored (of several seeds, the first). samples: by clip, the videos of all
    seeds, where there are several. made: how each was generated. failed: why a clip was not generated.
    """

    videos: dict[str, list[Path]]
    samples: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    made: dict[str, MadeClip] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def find_true(folder: Path, split: str | None = None) -> TrueClips:
    """A folder of videos, or a clip store (its clips by id, those of one `split` if named).

    Raises `DataError` when the folder does not exist, holds no video, or has no such split.
    """
    _require_folder(folder)
    if split is None and not (folder / "store.json").is_file():
        return TrueClips(find_videos(folder))
    store = ClipStore.open(folder)
    clips = [store.clip(clip_id) for clip_id in store.ids] if split is None else store.split(split)
    if not clips:
        raise DataError(f"no clips in {folder}" + (f", split '{split}'" if split else ""))
    return TrueClips({clip.id: [clip.video_path] for clip in clips}, {clip.id: clip.identity for clip in clips})


def find_generated(folder: Path) -> GeneratedClips:
    """One method's folder: videos, or subfolders seed_0, seed_1 ... of videos of the same clips.

    Raises `DataError` when the folder does not exist or holds neither, or its generation.json is damaged.
    """
    _require_folder(folder)
    seeds = [(int(match[1]), path) for path in folder.iterdir() if (match := SEED_FOLDER.fullmatch(path.name))]
    folders = [path for _, path in sorted(seeds) if path.is_dir()]
    if not folders or _videos(folder):
        made, failed = _record(folder)
        return GeneratedClips(find_videos(folder), {}, made, failed)
    each = [_videos(path) for path in folders]
    if not any(each):
        raise DataError(f"no videos in {folder}/seed_* (looked for {', '.join(VIDEO_SUFFIXES)})")
    samples = {
        clip: tuple(found[clip][0] for found in each)
        for clip in each[0]
        if all(len(found.get(clip, ())) == 1 for found in each)
    }
    made, failed = _record(folders[0])
    return GeneratedClips(each[0], samples if len(folders) > 1 else {}, made, failed)


def find_videos(folder: Path) -> dict[str, list[Path]]:
    """Videos of one folder (not of those inside it) by file stem; raises `DataError` if there is none."""
    _require_folder(folder)
    found = _videos(folder)
    if not found:
        raise DataError(f"no videos in {folder} (looked for {', '.join(VIDEO_SUFFIXES)})")
    return found


def audio_file(video: Path) -> Path:
    """Where a video's audio is: beside it in a clip store, else in itself."""
    beside = video.with_name("audio.wav")
    return beside if beside.is_file() and video.with_name("clip.json").is_file() else video


def _videos(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
            found.setdefault(path.stem, []).append(path)
    return found


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}" if not folder.exists() else f"not a folder: {folder}")


def _record(folder: Path) -> tuple[dict[str, MadeClip], dict[str, str]]:
    path = folder / GENERATION_RECORD
    if not path.is_file():
        return {}, {}
    record = read_json(path)
    try:
        made = {str(clip): _made(entry) for clip, entry in record["clips"].items()}
        return made, {str(clip): f"not generated: {why}" for clip, why in record["failed"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a record of generation ({error!r}); remove it or generate again") from error


def _made(entry: dict[str, Any]) -> MadeClip:
    shown = entry.get("shown")
    factor = entry.get("real_time_factor")
    return MadeClip(
        None if shown is None else Box(*(int(value) for value in shown)), None if factor is None else float(factor)
    )


def parse_named_folders(
    words: Sequence[str], reserved: Sequence[str] = (), option: str = "--generated"
) -> dict[str, Path]:
    """`NAME=DIR` words of an option to folders by name; raises `DataError` for a missing, repeated or reserved name."""
    named: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        name = name.strip()
        if not equals or not name or not folder:
            raise DataError(f"{option} got '{word}', wanted NAME=DIR (the name is the row's in the table)")
        if name in named:
            raise DataError(f"{option} names '{name}' twice: {named[name]} and {folder}")
        if name in reserved:
            raise DataError(f"{option}: '{name}' is the name of a control row, choose another")
        named[name] = Path(folder)
    return named

"""Folders of videos: what is there, by file stem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moda.data.clip import ClipStore
from moda.errors import DataError

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg")


def find_videos(folder: Path, split: str | None = None) -> dict[str, list[Path]]:
    """Videos of one folder (not of those inside it) by file stem, usually one path each.

    A clip store counts as a folder of videos too: its clips by id, those of one `split` if named.
    Raises `DataError` when the folder does not exist, holds no video, or has no such split.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}" if not folder.exists() else f"not a folder: {folder}")
    found: dict[str, list[Path]] = {}
    if split is not None or (folder / "store.json").is_file():
        store = ClipStore.open(folder)
        clips = [store.clip(clip_id) for clip_id in store.ids] if split is None else store.split(split)
        found = {clip.id: [clip.video_path] for clip in clips}
    else:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
                found.setdefault(path.stem, []).append(path)
    if not found:
        raise DataError(f"no videos in {folder} (looked for {', '.join(VIDEO_SUFFIXES)})")
    return found


def parse_named_folders(words: Sequence[str], reserved: Sequence[str] = ()) -> dict[str, Path]:
    """`NAME=DIR` words to folders by name; raises `DataError` for a missing, repeated or reserved name."""
    named: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        name = name.strip()
        if not equals or not name or not folder:
            raise DataError(f"--generated got '{word}', wanted NAME=DIR (the name is the row's in the table)")
        if name in named:
            raise DataError(f"--generated names '{name}' twice: {named[name]} and {folder}")
        if name in reserved:
            raise DataError(f"--generated: '{name}' is the name of a control row, choose another")
        named[name] = Path(folder)
    return named

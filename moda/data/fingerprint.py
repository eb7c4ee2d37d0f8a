"""Whether two sets of clips are the same, wherever they lie: what a resumed run compares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from moda.data.clip import Clip
from moda.data.moments import FILE as MOMENTS

_PIECES, _PIECE_BYTES = 4, 1 << 14
"""Of every file, so many pieces of this size, evenly from its beginning to its end, are hashed."""


def clips_fingerprint(clips: Iterable[Clip], *more: object) -> str:
    """Of clips in their order: who and how long, the sums of their motion, and samples of their video and audio.

    more: what else decides which data they give.
    """
    digest = hashlib.sha256(repr(more).encode())
    for clip in clips:
        digest.update(repr((clip.id, clip.identity, clip.frames, clip.has_audio)).encode())
        for path in (clip.folder / MOMENTS, clip.folder / "tracked.npy", clip.video_path, clip.audio_path):
            _add_file(digest, path)
    return digest.hexdigest()[:32]


def _add_file(digest: hashlib._Hash, path: Path) -> None:
    """Add a file's length and pieces of its contents; one that is not there counts as that."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            digest.update(repr((path.name, length)).encode())
            for piece in range(_PIECES):
                file.seek(max(0, length - _PIECE_BYTES) * piece // (_PIECES - 1))
                digest.update(file.read(_PIECE_BYTES))
    except OSError:
        digest.update(repr((path.name, None)).encode())

"""Whether two sets of clips are the same, wherever they lie: what a resumed run compares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from moda.data.clip import Clip


def clips_fingerprint(clips: Iterable[Clip], *more: object) -> str:
    """Of clips in their order: who and how long, the sums of their motion, and samples of their video and audio.

    more: what else decides which data they give.
    """
    digest = hashlib.sha256(repr(more).encode())
    for clip in clips:
        digest.update(repr((clip.id, clip.identity, clip.frames, clip.has_audio, clip.digest)).encode())
    return f"2-{digest.hexdigest()[:32]}"

"""What a training set is like, from the records that preparation wrote: no footage is read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from moda.data.clip import Clip
from moda.representation import FPS


def clip_statistics(clips: Iterable[Clip], *, audio: bool) -> dict[str, float]:
    """clips, people, minutes; medians over the clips of face_px (of the source), lip_motion (px within a second) and,
    with audio, loudness_dbfs and pauses (share of the time); audible and offset_settled: shares of the clips.

    What no record tells is left out.
    """
    clips = list(clips)
    found = {
        "clips": float(len(clips)),
        "people": float(len({clip.identity for clip in clips})),
        "minutes": sum(clip.frames for clip in clips) / FPS / 60,
    }
    for name in ("face_px", "lip_motion", *(("loudness_dbfs", "pauses") if audio else ())):
        values = [float(clip.quality[name]) for clip in clips if name in clip.quality]
        if values:
            found[name] = float(np.median(values))
    if audio:
        found["audible"] = float(np.mean([clip.has_audio for clip in clips]))
        offsets = [clip.offset for clip in clips]
        settled = [bool(offset.get("settled")) for offset in offsets if isinstance(offset, dict)]
        if settled:
            found["offset_settled"] = float(np.mean(settled))
    return found

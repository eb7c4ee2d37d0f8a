"""Who is in a clip of HDTF, by its name: {RD|WDA|WRA}_{video}_{index}."""

from __future__ import annotations

import re

_CLIP = re.compile(r"^(RD|WDA|WRA)_(.+?)(?:_\d+)+(?:\.[A-Za-z0-9]{1,5})?$")
_SAME_PERSON = {"WDA_WhipJimClyburn": "WDA_JamesClyburn"}
"""One person under two names (the lists even give one video under both)."""


def hdtf_identity(clip_name: str) -> str | None:
    """Who is in a clip named as HDTF's are, with or without a file's ending; None for any other name.

    'WDA_BarackObama0_000' and 'WDA_BarackObama1_001.mp4' -> 'WDA_BarackObama': the digits count videos of
    one person. 'RD_Radio11_000' -> 'RD_Radio11': there they tell one radio video from another.
    """
    found = _CLIP.match(clip_name)
    if found is None:
        return None
    part, video = found.groups()
    who = f"{part}_{video if part == 'RD' else video.rstrip('0123456789') or video}"
    return _SAME_PERSON.get(who, who)

"""Parts of clips: what to train on and what to hold out when one person is all there is.

A video is divided by time, never by frames at random: neighbours are nearly the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moda.data.clip import Clip
from moda.errors import DataError
from moda.representation import FPS

GAP = int(FPS)
"""Frames before the held-out end that are not trained on either: a second."""
FEWEST = int(2 * FPS)
"""A part of a clip that is shorter is not used."""


@dataclass(frozen=True)
class Part:
    """Frames `targets` of a clip, with reference pictures from its frames `references`."""

    clip: Clip
    targets: range
    references: range

    @staticmethod
    def whole(clip: Clip) -> Part:
        """All of a clip."""
        return Part(clip, range(clip.frames), range(clip.frames))


def hold_out_end(clips: Sequence[Clip], share: float) -> tuple[list[Part], list[Part]]:
    """Divide clips of one video, in the order of time, into what comes before its last `share` and the end.

    Nothing within `GAP` before the end is trained on. Held-out frames get reference pictures from the part
    of their own clip that is trained on, as a user's picture is none of the frames to be made; a clip that
    is held out whole gives its own. Raises `DataError` if either side is left without frames.
    """
    total = sum(clip.frames for clip in clips)
    cut = round(total * (1 - share))
    train: list[Part] = []
    end: list[Part] = []
    passed = 0
    for clip in clips:
        known = range(min(max(cut - GAP - passed, 0), clip.frames))
        held = range(max(cut - passed, 0), clip.frames)
        if len(known) >= FEWEST:
            train.append(Part(clip, known, known))
        if len(held) >= min(FEWEST, clip.frames):
            end.append(Part(clip, held, known if len(known) >= FEWEST else held))
        passed += clip.frames
    if not train or not end:
        raise DataError(
            f"{total / FPS:.0f} s of video are too little to hold out the last {share:.0%} of it "
            f"({total * share / FPS:.1f} s): wanted {FEWEST / FPS:g} s on each side and {GAP / FPS:g} s between"
        )
    return train, end

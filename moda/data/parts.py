"""Parts of clips: what to train on and what to hold out when one person is all there is.

A video is divided by time, never by frames at random: neighbours are nearly the same picture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moda.data.arrays import ARRAYS
from moda.data.clip import Clip
from moda.data.moments import clip_moments
from moda.data.store import SPLITS, ClipStore
from moda.errors import DataError
from moda.geometry import Rest
from moda.moments import Moments
from moda.representation import FPS, samples_at

log = logging.getLogger(__name__)

HELD_OUT_SHARE = 0.18
"""Share of the time that is held out for validation where a store has no clips for it."""
GAP_FRAMES = int(FPS)
"""Frames before the held-out end that are not trained on either: a second."""
MIN_PART_FRAMES = int(2 * FPS)
"""A part of a clip that is shorter is not used."""


@dataclass(frozen=True)
class Part:
    """Frames `targets` of a clip, with reference pictures from its frames `references`."""

    clip: Clip
    targets: range
    references: range

    @property
    def as_clip(self) -> Clip:
        """Its `targets`."""
        whole = len(self.targets) == self.clip.frames
        return self.clip if whole else ClipPart(self.clip, self.targets)

    @staticmethod
    def whole(clip: Clip) -> Part:
        """All of a clip."""
        return Part(clip, range(clip.frames), range(clip.frames))


class ClipPart(Clip):
    """Frames of a clip as a clip of its own, counted from their first: nothing outside them is read but the subject.

    Pictures are not: `video_path` is the whole clip's.
    """

    def __init__(self, clip: Clip, frames: range) -> None:
        super().__init__(clip.folder, {**clip.record, "frames": len(frames)}, remote=clip.remote)
        self.whole, self.first = clip, frames.start

    @property
    def digest(self) -> str:
        """Of the whole clip's files."""
        return self.whole.digest

    def _map(self, name: str) -> np.ndarray:
        values = self.whole._map(name)
        return values[self.first : self.first + self.frames] if ARRAYS[name][2] else values

    @cached_property
    def rest(self) -> Rest:
        """What the motion is relative to, of these frames alone."""
        return Rest.of(self.pose, self.torso)

    def moments(self, groups: Iterable[str]) -> dict[str, Moments]:
        """Sums over these frames; see `Clip.moments`."""
        found = clip_moments(self.landmarks, self.pose, self.torso, self.subject).groups
        return {name: Moments.of(self.subject[None]) if name == "subject" else found[name] for name in groups}

    def audio(self) -> np.ndarray:
        """Audio of these frames."""
        return self.audio_between(0, samples_at(self.frames))

    def audio_between(self, start: int, stop: int) -> np.ndarray:
        """Samples [start, stop), counted from the first frame's; see `Clip.audio`."""
        first = samples_at(self.first)
        return self.whole.audio_between(first + start, first + stop)


def divided(
    store: ClipStore, *, trains: Callable[[Clip], bool], validates: Callable[[Clip], bool]
) -> tuple[list[Clip], list[Clip]]:
    """The clips of the lists train and val; of one person with nothing to validate on, the end of the time is for that.

    trains, validates: whether a clip can be used for it. What is held out, or that nothing is, is logged.
    Raises `DataError` if the list `train` is empty.
    """
    clips, others = store.split("train"), store.split("val")
    if not clips:
        sizes = ", ".join(f"{name} {len(store.split(name))}" for name in SPLITS)
        raise DataError(
            f"the list 'train' of the clip store {store.root} is empty (clips in its lists: {sizes}); prepare it "
            "with a share for train, as --split 0.8,0.1,0.1"
        )
    usable = [clip for clip in clips if trains(clip)]
    people = {clip.identity for clip in clips}
    if any(map(validates, others)) or not usable or (others and len(people) > 1):
        return clips, others
    why = "is empty" if not others else f"has no clip that can be used among its {len(others)}"
    if len(people) > 1:
        log.warning(
            "the list 'val' of %s %s: nothing is validated on, and all of the %d people are trained on; prepare it "
            "with a share for val to validate", store.root, why, len(people),
        )  # fmt: skip
        return clips, []
    total = sum(clip.frames for clip in usable)
    try:
        before, end = hold_out_end(usable, min(0.5, max(HELD_OUT_SHARE, MIN_PART_FRAMES / total)))
    except DataError:
        before, end = [], []
    train, val = ([part.as_clip for part in parts] for parts in (before, end))
    if not any(map(trains, train)) or not any(map(validates, val)):
        log.warning(
            "the list 'val' of %s %s, and %.1f s of one person are too little to hold any out: nothing is validated on",
            store.root, why, total / FPS,
        )  # fmt: skip
        return clips, []
    held = sum(clip.frames for clip in val)
    log.info(
        "the list 'val' of %s %s, and 'train' is one person: the last %.1f s are held out for validation, %.0f %% of "
        "the time; trained on: %.1f s, a second before them left out",
        store.root, why, held / FPS, 100 * held / total, sum(clip.frames for clip in train) / FPS,
    )  # fmt: skip
    return train, val


def hold_out_end(clips: Sequence[Clip], share: float) -> tuple[list[Part], list[Part]]:
    """Divide clips of one video, in the order of time, into what comes before its last `share` and the end.

    The `GAP_FRAMES` before the held-out end are not trained on. Held-out frames get reference pictures from the part
    of their own clip that is trained on, as at inference the picture is none of the generated frames; a clip that
    is held out whole gives its own. Raises `DataError` if either side is left without frames.
    """
    total = sum(clip.frames for clip in clips)
    cut = round(total * (1 - share))
    train: list[Part] = []
    end: list[Part] = []
    passed = 0
    for clip in clips:
        known = range(min(max(cut - GAP_FRAMES - passed, 0), clip.frames))
        held = range(max(cut - passed, 0), clip.frames)
        if len(known) >= MIN_PART_FRAMES:
            train.append(Part(clip, known, known))
        if len(held) >= min(MIN_PART_FRAMES, clip.frames):
            end.append(Part(clip, held, known if len(known) >= MIN_PART_FRAMES else held))
        passed += clip.frames
    if not train or not end:
        raise DataError(
            f"{total / FPS:.0f} s of video are too little to hold out the last {share:.0%} of it "
            f"({total * share / FPS:.1f} s): wanted {MIN_PART_FRAMES / FPS:g} s on each side "
            f"and {GAP_FRAMES / FPS:g} s between"
        )
    return train, end

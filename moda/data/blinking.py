"""Windows of motion with their blinks, for a network that models blinks as events.

Blinks are detected in the whole clip, as the usual eye opening cannot be estimated from a window of three
seconds, and once, when the set is made: the landmarks are read from start to end, a clip at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moda.blinks import Blink, find_blinks, measure_blink, onsets, without_blinks
from moda.data.clip import Clip
from moda.data.sequences import MotionSequences, SequenceConfig, Window
from moda.landmarks import EYES, eye_opening
from moda.nn.blinks import BlinkSample
from moda.representation import FPS

CHUNK_FRAMES = 1500
"""Frames whose eye opening is computed at once: a minute."""
PRIOR_FRAMES = 60 * FPS
"""Frames at the mean rate that are added to each person's own, to estimate his or her rate."""
MAX_BLINKS_A_PERSON = 20
"""Largest number of blinks measured of a person, evenly over the footage, so that no person dominates."""


class BlinkingSequences(MotionSequences):
    """`MotionSequences` whose items hold, beside: open_eyes (T, 60, 3), the eyes with a straight line over every
    blink; onsets (T,), 1 where a blink starts; usual_rate (), blinks a frame of this person.
    """

    def __init__(self, clips: Sequence[Clip], config: SequenceConfig, **options: Any) -> None:
        """options: of `MotionSequences`."""
        super().__init__(clips, config, **options)
        self.blinks = [find_blinks(clip_opening(clip)) for clip in self.clips]
        """Of each clip."""

    def __getitem__(self, key: int | Window) -> dict[str, Tensor]:
        window = self.window(key)
        item = super().__getitem__(window)
        blinks = [Blink(*(edge - window.start for edge in blink)) for blink in self.blinks[window.clip]]
        usual = self.usual_rates[self.clips[window.clip].identity]
        return item | {
            "open_eyes": torch.from_numpy(without_blinks(item["eyes"].numpy(), blinks)),
            "onsets": torch.from_numpy(onsets(blinks, window.length)),
            "usual_rate": torch.tensor(usual, dtype=torch.float32),
        }

    @cached_property
    def _counts(self) -> dict[str, tuple[int, int]]:
        """Identity -> blinks, frames with a face."""
        counts: dict[str, tuple[int, int]] = {}
        for clip, blinks in zip(self.clips, self.blinks, strict=True):
            number, frames = counts.get(clip.identity, (0, 0))
            counts[clip.identity] = (number + len(blinks), frames + int(clip.tracked.sum()))
        return counts

    @cached_property
    def mean_rate(self) -> float:
        """Blinks a frame, mean over people: each counts alike."""
        return float(np.mean([number / max(frames, 1) for number, frames in self._counts.values()]))

    @cached_property
    def usual_rates(self) -> dict[str, float]:
        """Identity -> blinks a frame; for people with little footage closer to the mean."""
        return {
            identity: (number + self.mean_rate * PRIOR_FRAMES) / (frames + PRIOR_FRAMES)
            for identity, (number, frames) in self._counts.items()
        }

    def blink_samples(self) -> list[BlinkSample]:
        """Measured blinks of every person, at most `MAX_BLINKS_A_PERSON` of each."""
        by_identity: dict[str, list[tuple[Clip, Blink]]] = {}
        for clip, blinks in zip(self.clips, self.blinks, strict=True):
            by_identity.setdefault(clip.identity, []).extend((clip, blink) for blink in _apart(blinks))
        samples = []
        for candidates in by_identity.values():
            picked = np.unique(
                np.linspace(0, len(candidates) - 1, min(MAX_BLINKS_A_PERSON, len(candidates))).round().astype(int)
            )
            samples += [sample for i in picked if (sample := blink_sample(*candidates[i])) is not None]
        return samples


def clip_opening(clip: Clip) -> np.ndarray:
    """Eye opening of a clip (T,), NaN where there is no face. It is a ratio, so the head's pose does not matter."""
    spans = (slice(start, start + CHUNK_FRAMES) for start in range(0, clip.frames, CHUNK_FRAMES))
    opening = np.concatenate([eye_opening(clip.landmarks[span]) for span in spans])
    return np.where(clip.tracked, opening, np.nan)


def blink_sample(clip: Clip, blink: Blink) -> BlinkSample | None:
    """One blink of a clip; None if the clip does not show all of it."""
    first, last = blink.anchors
    if first < 0 or last >= clip.frames or not clip.tracked[first : last + 1].all():
        return None
    canonical = clip.canonical_at(slice(first, last + 1))
    local = Blink(blink.start - first, blink.stop - first)
    shape = measure_blink(local, eye_opening(canonical))
    if shape is None:
        return None
    eyes = canonical[:, list(EYES)]
    open_eyes = without_blinks(eyes, [local])[shape.deepest]
    return BlinkSample(shape.seconds, shape.depth, shape.course, open_eyes, eyes[shape.deepest] - open_eyes)


def _apart(blinks: Sequence[Blink]) -> list[Blink]:
    """Those with open eyes before and after: whose anchors overlap no other's."""
    reach = [blink.anchors for blink in blinks]
    return [
        blink
        for i, blink in enumerate(blinks)
        if (i == 0 or reach[i - 1][1] <= reach[i][0]) and (i + 1 == len(blinks) or reach[i][1] <= reach[i + 1][0])
    ]

"""Pairs of frames for the renderer: a reference frame and targets from the same clip.

Inputs are made on the fly by `moda.imaging.conditioning`, the function that inference uses too.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from moda.blinks import CLOSED_SHARE
from moda.data.blinking import clip_opening
from moda.data.clip import Clip
from moda.data.fingerprint import clips_fingerprint
from moda.data.frame_cache import FrameCache
from moda.data.parts import Part
from moda.data.shading import shade, with_targets
from moda.data.statistics import clip_statistics
from moda.errors import DataError
from moda.geometry import fit_head_pose
from moda.imaging.conditioning import ReferenceConditioner, stack_inputs
from moda.imaging.crop import Box, crop_square
from moda.landmarks import lip_opening
from moda.media.video import VideoReader
from moda.representation import Portrait

MAX_OPEN_VIDEOS = 32
"""Videos a dataset keeps open."""
TARGET_SPAN_FRAMES = 12
"""Frames among which the targets of an item lie: about one group of pictures, so that one seek is enough."""
BLINK_SHARE, CLOSED_REFERENCE_SHARE = 0.4, 0.25
"""Where the eyes are refined: shares of items whose targets lie about closed eyes, and whose reference has its eyes
closed; 2 to 5 % of a person's frames are so."""
BLINK_SPAN_FRAMES = 6
"""Frames about closed eyes among which the targets then lie."""
OPEN_MOUTH_DRAWS = 3
"""Of this many random spans the one with the widest mouth is taken: the inside of the mouth is what
the refining renderer has to learn, and most frames show none."""
MAX_TIME_SHIFT_FRAMES = 6000
"""Training shifts the time of a clip by up to this many frames, so that time alone does not identify a frame."""


def tracked_frames(clip: Clip, frames: range) -> np.ndarray:
    """Those of `frames` in which the face was found; raises `DataError` if they are fewer than 2."""
    tracked = frames.start + np.flatnonzero(clip.tracked[frames.start : frames.stop])
    if len(tracked) < 2:
        raise DataError(f"clip {clip.id} has {len(tracked)} tracked frames, wanted at least 2 ({clip.folder})")
    return tracked


class FramePairs(Dataset[dict[str, Tensor]]):
    """`targets` frames of one clip with one reference frame of it, as the renderer's inputs.

    An item stands for an identity, not a clip: identities get items in proportion to the square
    root of their footage, so that one long recording does not dominate.
    Item: dict of uint8 pictures (K, 3, h, w), float maps (K, 1, h, w) and frame (K,), K = targets;
    keys condition, reference, target, frame and, with a warp, warped, validity, region; those of the eyes' windows
    after "eyes.".
    """

    def __init__(
        self, clips: Sequence[Clip | Part], *, size: int, warp: bool, targets: int, train: bool, eyes: bool = False,
        colour: float = 0.0, cache_gb: float = 0.0,
    ) -> None:  # fmt: skip
        """clips: or parts of them. size: side of the frames. eyes: also inputs and targets of the eyes' windows.

        colour: strength of the colour augmentation (0 = none). cache_gb: memory for decoded frames, GB.
        """
        if not clips:
            raise DataError("no clips to make frame pairs of")
        self.size, self.warp, self.targets, self.train, self.colour = size, warp, targets, train, colour
        self.eyes = eyes
        self._closed: dict[str, np.ndarray] = {}
        self._parts: dict[str, list[Part]] = defaultdict(list)
        for part in [clip if isinstance(clip, Part) else Part.whole(clip) for clip in clips]:
            clip = part.clip
            if len(part.targets) < 2:
                raise DataError(f"clip {clip.id} has {clip.frames} frame, wanted at least 2 for a pair ({clip.folder})")
            self._parts[clip.identity].append(part)
        self._items = [
            identity
            for identity, members in self._parts.items()
            for _ in range(max(1, round(0.5 * math.sqrt(sum(len(part.targets) for part in members)))))
        ]
        self._videos: OrderedDict[str, VideoReader] = OrderedDict()
        lengths = {part.clip.id: part.clip.frames for members in self._parts.values() for part in members}
        starts = np.cumsum([0, *lengths.values()]).tolist()
        self._first = dict(zip(lengths, starts, strict=False))
        """Number of each clip's first frame among those of all clips."""
        self._everything = np.ones((size, size), np.float32)
        self._cache = FrameCache(starts[-1], size, cache_gb)

    def __len__(self) -> int:
        return len(self._items)

    def statistics(self) -> dict[str, float]:
        """What the clips are like, see `clip_statistics`."""
        clips = {part.clip.id: part.clip for members in self._parts.values() for part in members}
        return clip_statistics(clips.values(), audio=False)

    def fingerprint(self) -> str:
        """Equal for equal parts of equal clips, wherever they lie."""
        parts = [part for members in self._parts.values() for part in members]
        return clips_fingerprint((part.clip for part in parts), [(part.targets, part.references) for part in parts])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng(np.random.randint(2**31) if self.train else index)
        members = self._parts[self._items[index]]
        lengths = np.array([len(part.targets) for part in members], float)
        part = members[rng.choice(len(members), p=lengths / lengths.sum())]
        reference = self._reference(part, rng)
        near = self._near(part, rng)
        chosen = np.sort(rng.choice(near, self.targets, replace=len(near) < self.targets))
        return self._pairs(part.clip, reference, chosen, rng)

    def _reference(self, part: Part, rng: np.random.Generator) -> int:
        """Any tracked frame; with eyes, closed ones are drawn more often: what is behind lids has to be painted."""
        frames = tracked_frames(part.clip, part.references)
        if self.eyes and rng.random() < CLOSED_REFERENCE_SHARE:
            closed = np.intersect1d(frames, self._eyes_closed(part.clip))
            frames = closed if len(closed) else frames
        return int(rng.choice(frames))

    def _near(self, part: Part, rng: np.random.Generator) -> np.ndarray:
        """The frames among which the targets lie: about an open mouth, or about closed eyes."""
        tracked = tracked_frames(part.clip, part.targets)
        if self.eyes and rng.random() < BLINK_SHARE:
            closed = np.intersect1d(tracked, self._eyes_closed(part.clip))
            if len(closed):
                middle = int(np.searchsorted(tracked, rng.choice(closed)))
                first = max(0, middle - int(rng.integers(BLINK_SPAN_FRAMES)))
                return tracked[first : first + BLINK_SPAN_FRAMES]
        first = self._start(part.clip, tracked, rng)
        return tracked[first : first + TARGET_SPAN_FRAMES]

    def _eyes_closed(self, clip: Clip) -> np.ndarray:
        """Numbers of the frames of a clip in which the eyes are closed: under `CLOSED_SHARE` of its usual opening."""
        if clip.id not in self._closed:
            opening = clip_opening(clip)
            with np.errstate(invalid="ignore"):
                self._closed[clip.id] = np.flatnonzero(opening < CLOSED_SHARE * np.nanmedian(opening))
        return self._closed[clip.id]

    def _start(self, clip: Clip, tracked: np.ndarray, rng: np.random.Generator) -> int:
        """Where among the tracked frames the targets begin; with a warp, open mouths are drawn more often."""
        starts = rng.integers(max(1, len(tracked) - TARGET_SPAN_FRAMES + 1), size=OPEN_MOUTH_DRAWS if self.warp else 1)
        openings = [
            lip_opening(clip.canonical_at(tracked[start : start + TARGET_SPAN_FRAMES])).mean() for start in starts
        ]
        return int(starts[int(np.argmax(openings))])

    def _pairs(self, clip: Clip, reference: int, chosen: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        frames = self._frames(clip, {reference, *map(int, chosen)})
        landmarks = clip.landmarks[[reference, *chosen]]
        fit = fit_head_pose(landmarks) if self.warp else None
        portrait = Portrait(
            image=frames[reference],
            landmarks=landmarks[0],
            pose=clip.pose[reference],
            subject=np.array(clip.subject),
            torso=np.array(clip.torso[reference]),
            person=self._everything,
        )
        conditioner = ReferenceConditioner(portrait, self.size, warp=self.warp, eyes=self.eyes, fit=fit and fit[0])
        inputs = conditioner.frames(landmarks[1:], clip.torso[chosen], whole=False, fit=fit and fit[1:])
        pictures = [frames[int(index)] for index in chosen]
        shift = int(rng.integers(MAX_TIME_SHIFT_FRAMES)) if self.train and self.warp else 0
        item = with_targets(stack_inputs(inputs), inputs, pictures)
        times = torch.from_numpy(chosen.astype(np.int64) + shift)
        item |= {name: times for name in item if name.endswith("frame")}
        if self.train and self.colour > 0:
            shade(item, rng, self.colour)
        return item

    def _frames(self, clip: Clip, indices: set[int]) -> dict[int, np.ndarray]:
        """Frames of a clip by index, (size, size, 3) uint8; decoded in the order of time, so with few seeks."""
        first, found = self._first[clip.id], {}
        for index in sorted(indices):
            frame = self._cache.get(first + index)
            if frame is None:
                whole = self._video(clip)[index]
                frame = crop_square(whole, Box(0, 0, len(whole)), self.size)
                self._cache.put(first + index, frame)
            found[index] = frame
        return found

    def _video(self, clip: Clip) -> VideoReader:
        if clip.id not in self._videos:
            self._videos[clip.id] = clip.open_video()
            if len(self._videos) > MAX_OPEN_VIDEOS:
                self._videos.popitem(last=False)[1].close()
        self._videos.move_to_end(clip.id)
        return self._videos[clip.id]


class FramesInOrder(FramePairs):
    """Parts from start to end, for figures of all that is held out and not of a sample of it.

    An item for every `TARGET_SPAN_FRAMES` tracked frames: `targets` of them, evenly, with one reference picture,
    always the same ones.
    """

    def __init__(self, parts: Sequence[Part], *, size: int, warp: bool, targets: int, eyes: bool = False) -> None:
        super().__init__(parts, size=size, warp=warp, targets=targets, train=False, eyes=eyes)
        self._spans = [
            (part, span)
            for part in parts
            for frames in [tracked_frames(part.clip, part.targets)]
            for span in np.array_split(frames, max(1, len(frames) // TARGET_SPAN_FRAMES))
        ]

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        part, span = self._spans[index]
        rng = np.random.default_rng(index)
        chosen = span[np.linspace(0, len(span) - 1, self.targets).round().astype(int)]
        return self._pairs(part.clip, int(rng.choice(tracked_frames(part.clip, part.references))), chosen, rng)

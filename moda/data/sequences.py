"""Windows of motion and sound for stages 1 and 2.

Every batch has one length, drawn anew for each batch, so that the networks meet short utterances
and long ones, and no frame is ever padding. `batch` counts windows of the longest length; shorter
windows come as many more as keep the frames of a batch about constant.

Windows are drawn so that each *identity* counts by the square root of its footage: a person with
a hundred times the footage of another is seen ten times as often, not a hundred.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from moda.config import Config
from moda.data.augmentation import SoundAugmentation, augment_sound
from moda.data.clip import Clip, ClipStore
from moda.errors import DataError
from moda.geometry import face_offsets, motion_targets
from moda.representation import FPS, SAMPLE_RATE, Motion, samples_at

log = logging.getLogger(__name__)

GROUPS = ("lips", "eyes", "head", "torso")
OFFSETS_FILE = "offsets.tsv"
SHORTEST_VALIDATION = 25
"""Validation clips shorter than the shortest window are used whole if they last a second."""


class SequenceConfig(Config):
    """Which windows are drawn from which clip store."""

    store: Path = Field(description="Clip store made by scripts/prepare.py.")
    lengths: tuple[int, ...] = Field(
        (70, 150, 300),
        min_length=1,
        description="Window lengths in frames; every batch draws one. 70 admits clips of three seconds.",
    )
    subject_mix: float = Field(
        0.5, ge=0, le=1, description="Training: the subject's mesh moves toward another clip's by up to this share."
    )
    augment: SoundAugmentation = Field(SoundAugmentation(), description="Training: changes to the sound.")
    cache_frames: int = Field(300_000, ge=0, description="Frames of motion and sound kept in memory (about 3 kB each).")


class Window(NamedTuple):
    """One sample's key: clip number, first frame, frames, and the seed of its augmentation."""

    clip: int
    start: int
    length: int
    seed: int


@dataclass(frozen=True)
class _Footage:
    """What is kept of a clip: subject (478, 3), motion of T frames, tracked (T), sound int16 or None, face or None."""

    subject: np.ndarray
    motion: Motion
    tracked: np.ndarray
    sound: np.ndarray | None
    face: np.ndarray | None


class MotionSequences(Dataset[dict[str, Tensor]]):
    """Windows over the clips of one split; items are addressed by `Window` or, in validation, by number.

    An item holds, T = window.length: subject (478, 3); lips (T, 40, 3), eyes (T, 60, 3), head (T, 7),
    torso (T, 18, 3) in physical units; tracked (T,), 1 where the face was seen; with sound: wave (N,)
    in [-1, 1], N = 640 T; with face: face (T, 478, 3).

    Training augments the sound (gain, noise; never speed, which would break the sync) and mixes
    subjects, by the window's seed; its windows come from `window_batches`. Validation cuts each clip
    into fixed windows, in order, and leaves it as it is.
    """

    def __init__(
        self, clips: Sequence[Clip], config: SequenceConfig, *, training: bool, sound: bool = True, face: bool = False
    ) -> None:
        self.config = config
        self.training = training
        self.with_sound = sound
        self.with_face = face
        self.lengths = tuple(sorted(set(config.lengths)))
        self.clips = self._usable(clips)
        self.offsets = read_offsets(config.store)
        self._cache: OrderedDict[int, _Footage] = OrderedDict()
        self._cached_frames = 0
        self.windows = [] if training else self._fixed_windows()

    @classmethod
    def splits(
        cls, config: SequenceConfig, *, sound: bool = True, face: bool = False
    ) -> tuple[MotionSequences, MotionSequences]:
        """The training and the validation set of a store. Raises `DataError` if either has no usable clip."""
        store = ClipStore.open(config.store)
        return (
            cls(store.split("train"), config, training=True, sound=sound, face=face),
            cls(store.split("val"), config, training=False, sound=sound, face=face),
        )

    def _usable(self, clips: Sequence[Clip]) -> list[Clip]:
        split = "train" if self.training else "val"
        shortest = self.lengths[0] if self.training else min(SHORTEST_VALIDATION, self.lengths[0])
        kept = []
        for clip in clips:
            if self.with_sound and not clip.has_audio:
                log.info("%s: clip %s has no sound and is left out", split, clip.id)
            elif clip.frames < shortest:
                log.warning(
                    "%s: clip %s has %d frames, fewer than the shortest window (%d), and is left out",
                    split, clip.id, clip.frames, shortest,
                )  # fmt: skip
            else:
                kept.append(clip)
        if not kept:
            raise DataError(
                f"no usable clip in the '{split}' split of {self.config.store}: {len(clips)} listed, wanted one "
                f"of {shortest} frames or more{' with sound' * self.with_sound}; lower data.lengths or add clips"
            )
        return kept

    def _fixed_windows(self) -> list[Window]:
        windows = []
        for number, clip in enumerate(self.clips):
            fitting = [length for length in self.lengths if length <= clip.frames]
            length = fitting[-1] if fitting else clip.frames
            windows += [Window(number, start, length, 0) for start in range(0, clip.frames - length + 1, length)]
        return windows

    def __len__(self) -> int:
        """Validation: number of windows. Training: windows of the longest length that the footage would fill."""
        if self.windows:
            return len(self.windows)
        return max(1, sum(clip.frames for clip in self.clips) // self.lengths[-1])

    def __getitem__(self, key: int | Window) -> dict[str, Tensor]:
        window = key if isinstance(key, Window) else self.windows[key]
        footage = self._footage(window.clip)
        span = slice(window.start, window.start + window.length)
        motion = footage.motion
        random = np.random.default_rng(window.seed)
        item = {
            "subject": self._mixed_subject(footage.subject, random) if self.training else footage.subject,
            "lips": motion.lips[span],
            "eyes": motion.eyes[span],
            "head": motion.head[span],
            "torso": motion.torso[span],
            "tracked": footage.tracked[span].astype(np.float32),
        }
        if footage.face is not None:
            item["face"] = footage.face[span]
        if footage.sound is not None:
            clip = self.clips[window.clip]
            wave = window_sound(footage.sound, window.start, window.length, self.offsets.get(clip.id, 0.0))
            item["wave"] = augment_sound(wave, self.config.augment, random) if self.training else wave
        return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in item.items()}

    def _mixed_subject(self, subject: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """With a few dozen people a network learns them by heart: blend each with another one, at random."""
        other = self._footage(int(random.integers(len(self.clips)))).subject
        return subject + np.float32(random.uniform(0, self.config.subject_mix)) * (other - subject)

    def motions(self) -> Iterator[tuple[str, np.ndarray, Motion, np.ndarray | None]]:
        """Whole clips, to fit statistics on: (clip id, subject (478, 3), motion, face offsets (T, 478, 3) or None)."""
        for number, clip in enumerate(self.clips):
            footage = self._footage(number)
            yield clip.id, footage.subject, footage.motion, footage.face

    def _footage(self, number: int) -> _Footage:
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        footage = self._read(self.clips[number])
        self._cache[number] = footage
        self._cached_frames += len(footage.motion)
        while self._cached_frames > self.config.cache_frames and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._cached_frames -= len(oldest.motion)
        return footage

    def _read(self, clip: Clip) -> _Footage:
        subject = clip.subject.astype(np.float32)
        motion = motion_targets(clip.canonical, clip.pose, clip.torso, clip.subject)
        motion = Motion(*(getattr(motion, name).astype(np.float32) for name in GROUPS))
        for name in GROUPS:
            if not np.isfinite(getattr(motion, name)).all():
                raise DataError(f"clip {clip.id}: '{name}' is not finite everywhere; prepare it again or unlist it")
        face = face_offsets(clip.canonical, clip.subject).astype(np.float32) if self.with_face else None
        sound = None
        if self.with_sound:
            sound = np.round(np.clip(clip.audio(), -1, 1) * 32767).astype(np.int16)
        footage = _Footage(subject, motion, np.asarray(clip.tracked), sound, face)
        clip.release()
        return footage


def window_batches(dataset: MotionSequences, batch: int, seed: int) -> list[list[Window]]:
    """One training epoch: as many batches as the footage would fill, each of one length; `seed` decides all.

    A length is drawn with probability proportional to the summed weight of the identities that have
    a clip so long, so that the few long clips are not seen more often than the many short ones.
    """
    random = np.random.default_rng(seed)
    longest = dataset.lengths[-1]
    tables = [(length, weights) for length in dataset.lengths if (weights := clip_weights(dataset.clips, length))]
    totals = np.array([sum(weights.values()) for _, weights in tables])
    batches = []
    for _ in range(max(1, len(dataset) // batch)):
        length, weights = tables[random.choice(len(tables), p=totals / totals.sum())]
        share = np.array(list(weights.values()))
        picked = random.choice(list(weights), size=max(1, batch * longest // length), p=share / share.sum())
        windows = []
        for number in picked.tolist():
            start = random.integers(0, dataset.clips[number].frames - length + 1)
            windows.append(Window(number, int(start), length, int(random.integers(0, 2**31))))
        batches.append(windows)
    return batches


def collate_by_length(samples: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Samples -> one batch for each window length among them; a training batch gives a list of one."""
    groups: dict[int, list[dict[str, Tensor]]] = {}
    for sample in samples:
        groups.setdefault(len(sample["lips"]), []).append(sample)
    return [default_collate(group) for group in groups.values()]


def clip_weights(clips: Sequence[Clip], length: int) -> dict[int, float]:
    """Clip number -> weight, of the clips that hold a window of `length` frames.

    An identity weighs sqrt(its frames); within it a clip counts by its own frames.
    """
    fitting = [(number, clip) for number, clip in enumerate(clips) if clip.frames >= length]
    footage: dict[str, int] = {}
    for _, clip in fitting:
        footage[clip.identity] = footage.get(clip.identity, 0) + clip.frames
    return {number: clip.frames / footage[clip.identity] ** 0.5 for number, clip in fitting}


def window_sound(sound: np.ndarray, start: int, length: int, offset: float = 0.0) -> np.ndarray:
    """Sound of frames [start, start + length): float32 (N,), zeros where the clip has none.

    sound: (N,) int16. offset: frames by which the picture comes late; the sound is taken that much
    earlier, so that the mouth meets the sound that made it.
    """
    first = samples_at(start) - round(offset * SAMPLE_RATE / FPS)
    count = samples_at(length)
    wave = np.zeros(count, np.float32)
    low, high = max(first, 0), min(first + count, len(sound))
    if high > low:
        wave[low - first : high - first] = sound[low:high].astype(np.float32) / 32768
    return wave


def read_offsets(store: Path) -> dict[str, float]:
    """Audio-video offsets by clip id, frames the picture comes late, from STORE/offsets.tsv; {} if there is none.

    Raises `DataError` naming the line that is not "clip_id<TAB>frames".
    """
    path = Path(store) / OFFSETS_FILE
    if not path.is_file():
        return {}
    offsets = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            clip_id, frames = line.split("\t")[:2]
            offsets[clip_id] = float(frames)
        except ValueError:
            raise DataError(f"{path}, line {number}: wanted 'clip_id<TAB>frames', got {line!r}") from None
    return offsets

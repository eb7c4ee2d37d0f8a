"""Pairs of lips and audio, shifted against each other by a known number of frames, for the stage "sync"."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from moda.data.augmentation import augment_audio
from moda.data.clip import Clip
from moda.data.fingerprint import clips_fingerprint
from moda.data.sequences import clip_weights
from moda.data.settings import SyncDataConfig
from moda.data.statistics import clip_statistics
from moda.data.store import ClipStore
from moda.errors import DataError
from moda.landmarks import LIPS, canonical_face
from moda.reading import read_lines
from moda.representation import FPS, SAMPLE_RATE, samples_at

log = logging.getLogger(__name__)


class SyncWindow(NamedTuple):
    """One sample's key: clip number, first frame, frames by which its picture will be late, seed."""

    clip: int
    start: int
    late: float
    seed: int


class _Footage(NamedTuple):
    """lips (T, 40, 3) float32, tracked (T,) bool, audio (N,) int16."""

    lips: np.ndarray
    tracked: np.ndarray
    audio: np.ndarray


class SyncPairs(Dataset[dict[str, Tensor]]):
    """Windows of one split; items are addressed by `SyncWindow` or, in validation, by number.

    An item holds, T = config.frames: lips (T, 40, 3) canonical pixels; tracked (T,) bool; wave (640 T,);
    audible (T,) bool, False where the shifted audio lies outside the clip; late (), frames by which the
    picture comes late.
    """

    def __init__(self, clips: Sequence[Clip], config: SyncDataConfig, *, training: bool) -> None:
        self.config = config
        self.training = training
        self.own = None if config.offsets is None else read_offsets(config.offsets)
        usable = [clip for clip in clips if clip.has_audio and clip.frames >= config.frames]
        self.clips = [clip for clip in usable if self.own is None or clip.id in self.own]
        split = "train" if training else "val"
        log.info(
            "%s: %d of %d clips have audio and %d frames, %d of them are used",
            split, len(usable), len(clips), config.frames, len(self.clips),
        )  # fmt: skip
        if not usable:
            raise DataError(
                f"no usable clip in the '{split}' split of {config.store}: wanted one with audio, of {config.frames} "
                "frames or more; add clips"
            )
        if not self.clips:
            raise DataError(
                f"{config.offsets} names none of the {len(usable)} usable clips in the '{split}' split of "
                f"{config.store}, whose first is '{usable[0].id}'; write one of this store with python -m "
                "data_prepare.offsets, or train without data.offsets"
            )
        self._cache: OrderedDict[int, _Footage] = OrderedDict()
        self._cached = 0
        self._mirror = mirrored_lips()
        self.windows = [] if training else self._fixed_windows()

    @classmethod
    def splits(cls, config: SyncDataConfig) -> tuple[SyncPairs, SyncPairs]:
        """The training and the validation set of a store. Raises `DataError` if either has no usable clip."""
        store = ClipStore.open(config.store)
        return cls(store.split("train"), config, training=True), cls(store.split("val"), config, training=False)

    def statistics(self) -> dict[str, float]:
        """What the clips are like, see `clip_statistics`."""
        return clip_statistics(self.clips, audio=True)

    def fingerprint(self) -> str:
        """Equal for equal clips and offsets, wherever they lie."""
        return clips_fingerprint(self.clips, sorted((self.own or {}).items()))

    def _fixed_windows(self) -> list[SyncWindow]:
        """Every clip cut into windows, each shifted by a few evenly spaced offsets."""
        windows = []
        for number, clip in enumerate(self.clips):
            for start in range(0, clip.frames - self.config.frames + 1, self.config.frames):
                for step in (-0.6, -0.2, 0.2, 0.6):
                    windows.append(SyncWindow(number, start, step * self.config.reach, 0))
        return windows

    def __len__(self) -> int:
        """Validation: number of windows. Training: windows that the footage would fill."""
        return len(self.windows) or max(1, sum(clip.frames for clip in self.clips) // self.config.frames)

    def __getitem__(self, key: int | SyncWindow) -> dict[str, Tensor]:
        window = key if isinstance(key, SyncWindow) else self.windows[key]
        clip = self.clips[window.clip]
        footage = self._footage(window.clip)
        frames = self.config.frames
        span = slice(window.start, window.start + frames)
        moved = window.late - (self.own or {}).get(clip.id, 0.0)
        first = samples_at(window.start) + round(moved * SAMPLE_RATE / FPS)
        wave = cut_audio(footage.audio, first, samples_at(frames))
        edges = first + samples_at(1) * np.arange(frames + 1)
        lips = footage.lips[span]
        if self.training:
            random = np.random.default_rng(window.seed)
            wave = augment_audio(wave, self.config.augment, random)
            if random.random() < self.config.mirror:
                lips = lips[:, self._mirror] * np.array([-1, 1, 1], dtype=np.float32)
        return {
            "lips": torch.from_numpy(np.ascontiguousarray(lips)),
            "tracked": torch.from_numpy(footage.tracked[span]),
            "wave": torch.from_numpy(wave),
            "audible": torch.from_numpy((edges[:-1] >= 0) & (edges[1:] <= len(footage.audio))),
            "late": torch.tensor(window.late, dtype=torch.float32),
        }

    def whole_clips(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(lips (T, 40, 3), tracked (T,), wave (640 T,)) of every clip, unchanged, to fit statistics on."""
        for number in range(len(self.clips)):
            footage = self._footage(number)
            wave = cut_audio(footage.audio, 0, samples_at(len(footage.lips)))
            yield torch.from_numpy(footage.lips), torch.from_numpy(footage.tracked), torch.from_numpy(wave)

    def _footage(self, number: int) -> _Footage:
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        clip = self.clips[number]
        lips = np.array(clip.canonical[:, list(LIPS)], dtype=np.float32)
        audio = np.round(np.clip(clip.audio(), -1, 1) * 32767).astype(np.int16)
        self._cache[number] = _Footage(lips, np.array(clip.tracked, dtype=bool), audio)
        self._cached += clip.frames
        while self._cached > self.config.cache_frames and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._cached -= len(oldest.lips)
        return self._cache[number]


def sync_batches(dataset: SyncPairs, batch: int, seed: int) -> list[list[SyncWindow]]:
    """One training epoch: identities drawn by the square root of their footage; `seed` decides all."""
    random = np.random.default_rng(seed)
    weights = clip_weights(dataset.clips, dataset.config.frames)
    share = np.array(list(weights.values()))
    reach = dataset.config.reach
    batches = []
    for _ in range(max(1, len(dataset) // batch)):
        windows = []
        for number in random.choice(list(weights), size=batch, p=share / share.sum()).tolist():
            start = random.integers(0, dataset.clips[number].frames - dataset.config.frames + 1)
            seeded = int(random.integers(0, 2**31))
            windows.append(SyncWindow(number, int(start), float(random.uniform(-reach, reach)), seeded))
        batches.append(windows)
    return batches


def cut_audio(audio: np.ndarray, first: int, count: int) -> np.ndarray:
    """Samples [first, first + count) of a waveform (N,) int16 as float32 in [-1, 1); zeros outside it."""
    wave = np.zeros(count, np.float32)
    low, high = max(first, 0), min(first + count, len(audio))
    if high > low:
        wave[low - first : high - first] = audio[low:high].astype(np.float32) / 32768
    return wave


def mirrored_lips() -> np.ndarray:
    """(40,) int: for each lip point, the place in LIPS of its mirror image."""
    points = canonical_face().vertices[list(LIPS)]
    distance = np.linalg.norm(points[:, None] * np.array([-1, 1, 1]) - points[None], axis=-1)
    return np.asarray(distance.argmin(axis=1))


def read_offsets(path: Path) -> dict[str, float]:
    """Frames by which the picture comes late, by clip id. Raises `DataError` naming the line that is none."""
    offsets = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            clip_id, frames = line.split("\t")[:2]
            offsets[clip_id] = float(frames)
            if not math.isfinite(offsets[clip_id]):
                raise ValueError("not finite")
        except ValueError:
            raise DataError(f"{path}, line {number}: wanted 'clip_id<TAB>frames', got {line[:60]!r}") from None
    return offsets

"""Windows of motion and audio for stages 1 and 2.

Every batch has one window length, sampled for each batch, so that the networks are trained on short and
long utterances and nothing is padded. `batch` counts windows of the longest length; of shorter windows a
batch has more, so that its number of frames is about constant.

Windows are sampled so that each *identity* has a weight of the square root of its footage: a person with
a hundred times the footage of another is sampled ten times as often, not a hundred.

Nothing is cached between windows: each reads its own stretch of the clip's files, which the system's
file cache holds for all processes at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from moda.data.augmentation import augment_audio
from moda.data.clip import Clip, fetch_all
from moda.data.encoded_audio import EncodedAudio, FrozenEncoder
from moda.data.fingerprint import clips_fingerprint
from moda.data.moments import FILE as MOMENTS
from moda.data.moments import GROUPS
from moda.data.parts import divided
from moda.data.settings import SequenceConfig
from moda.data.statistics import clip_statistics
from moda.data.store import ClipStore
from moda.errors import DataError
from moda.geometry import face_offsets
from moda.moments import Moments
from moda.representation import samples_at

log = logging.getLogger(__name__)

MIN_VALIDATION_FRAMES = 25
"""Validation clips shorter than the shortest window are used whole if they last a second."""


class Window(NamedTuple):
    """One sample's key: clip number, first frame, frames, and the seed of its augmentation."""

    clip: int
    start: int
    length: int
    seed: int


def _fits(clip: Clip, shortest: int, audio: bool) -> bool:
    return clip.frames >= shortest and (clip.has_audio or not audio)


class MotionSequences(Dataset[dict[str, Tensor]]):
    """Windows over the clips of one split; items are addressed by `Window` or, in validation, by number.

    An item holds, T = window.length: subject (478, 3); lips (T, 40, 3), eyes (T, 60, 3), head (T, 7),
    torso (T, 18, 3) in physical units; tracked (T,), 1 where the face was detected; turning (), degrees by which the
    head turns in the whole clip (root mean square of pitch, yaw and roll about their medians); with audio: wave (N,)
    in [-1, 1], N = 640 T, and with an encoder and a folder `encoded`: speech (T, C), its features; with face: face
    (T, 478, 3).

    Training augments the audio (gain, noise; never speed, which would break the sync) and mixes
    subjects, by the window's seed; its windows come from `window_batches`. Validation cuts each clip
    into fixed windows, in order, without augmentation.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        config: SequenceConfig,
        *,
        training: bool,
        audio: bool = True,
        face: bool = False,
        encoder: FrozenEncoder | None = None,
    ) -> None:
        self.config = config
        self.encoded: EncodedAudio | None = None
        if encoder is not None and config.encoded is not None:
            self.encoded = EncodedAudio(encoder, config.encoded, config.encoded_versions, config.augment)
        self.training = training
        self.with_audio = audio
        self.with_face = face
        self.lengths = tuple(sorted(set(config.lengths)))
        self.clips = self._usable(clips)
        self._turnings: dict[int, float] = {}

    @classmethod
    def splits(
        cls, config: SequenceConfig, *, audio: bool = True, face: bool = False, encoder: FrozenEncoder | None = None
    ) -> tuple[MotionSequences, MotionSequences]:
        """The training and the validation set of a store; where it has no clips for the latter, see `parts.divided`.

        Raises `DataError` if a list has clips, but none that can be used.
        """
        shortest = min(config.lengths)
        train, val = divided(
            ClipStore.open(config.store),
            trains=lambda clip: _fits(clip, shortest, audio),
            validates=lambda clip: _fits(clip, min(MIN_VALIDATION_FRAMES, shortest), audio),
        )
        return (
            cls(train, config, training=True, audio=audio, face=face, encoder=encoder),
            cls(val, config, training=False, audio=audio, face=face, encoder=encoder),
        )

    def statistics(self) -> dict[str, float]:
        """What the clips are like, see `clip_statistics`."""
        return clip_statistics(self.clips, audio=self.with_audio)

    def fingerprint(self) -> str:
        """Equal for equal clips, wherever they lie."""
        return clips_fingerprint(self.clips)

    def _usable(self, clips: Sequence[Clip]) -> list[Clip]:
        split = "train" if self.training else "val"
        shortest = self.lengths[0] if self.training else min(MIN_VALIDATION_FRAMES, self.lengths[0])
        if self.training and self.config.settled_only:
            clips = self._settled(clips)
        kept = []
        for clip in clips:
            if self.with_audio and not clip.has_audio:
                log.info("%s: clip %s has no audio and is left out", split, clip.id)
            elif clip.frames < shortest:
                log.warning(
                    "%s: clip %s has %d frames, fewer than the shortest window (%d), and is left out",
                    split, clip.id, clip.frames, shortest,
                )  # fmt: skip
            else:
                kept.append(clip)
        if not kept and (self.training or clips):
            raise DataError(
                f"no usable clip in the '{split}' split of {self.config.store}: {self._missing(clips, shortest)}"
            )
        return kept

    def _settled(self, clips: Sequence[Clip]) -> list[Clip]:
        settled = [clip for clip in clips if isinstance(clip.offset, dict) and clip.offset.get("settled")]
        if clips and not settled:
            raise DataError(
                f"data.settled_only leaves out all {len(clips)} training clips of {self.config.store}: preparation "
                "settled the audio-video offset of none"
            )
        if len(settled) < len(clips):
            log.info("train: %d clips of unsettled offset are left out", len(clips) - len(settled))
        return settled

    def _missing(self, clips: Sequence[Clip], shortest: int) -> str:
        """What all clips lack, and what to do."""
        audible = [clip for clip in clips if clip.has_audio or not self.with_audio]
        if not audible:
            return f"{len(clips)} listed, none with audio, which this stage is driven by; prepare videos with audio"
        longest = max(audible, key=lambda clip: clip.frames)
        return (
            f"{len(clips)} listed, wanted one of {shortest} frames or more{' with audio' * self.with_audio} (the "
            f"longest, {longest.id}, has {longest.frames} frames); lower data.lengths or add clips"
        )

    @cached_property
    def windows(self) -> list[Window]:
        """Those of a validation; of training too, where a preview asks for some."""
        windows = []
        for number, clip in enumerate(self.clips):
            fitting = [length for length in self.lengths if length <= clip.frames]
            length = fitting[-1] if fitting else clip.frames
            windows += [Window(number, start, length, 0) for start in range(0, clip.frames - length + 1, length)]
        return windows

    def __len__(self) -> int:
        """Validation: number of windows. Training: windows of the longest length that the footage would fill."""
        if not self.training:
            return len(self.windows)
        return max(1, sum(clip.frames for clip in self.clips) // self.lengths[-1])

    def window(self, key: int | Window) -> Window:
        """The window of a key. A training set has some by number too: for previews without validation."""
        return key if isinstance(key, Window) else self.windows[range(len(self))[key] % len(self.windows)]

    def __getitem__(self, key: int | Window) -> dict[str, Tensor]:
        window = self.window(key)
        clip = self.clips[window.clip]
        stop = window.start + window.length
        random = np.random.default_rng(window.seed)
        subject = np.array(clip.subject)
        canonical = clip.canonical_at(slice(window.start, stop)) if self.with_face else None
        motion = clip.motion(window.start, stop, canonical)
        item = {
            "subject": self._mixed_subject(subject, random) if self.training else subject,
            **{name: getattr(motion, name) for name in GROUPS},
            "tracked": clip.tracked[window.start : stop].astype(np.float32),
        }
        if canonical is not None:
            item["face"] = face_offsets(canonical, subject)
        if self.with_audio:
            first = samples_at(window.start)
            wave = clip.audio_between(first, first + samples_at(window.length))
            item["wave"] = augment_audio(wave, self.config.augment, random) if self.training else wave
            if self.encoded is not None:
                version = int(random.integers(self.encoded.versions)) if self.training else 0
                item["speech"] = self.encoded.between(clip, version, window.start, stop)
        for name, values in item.items():
            _require_finite(clip, name, values)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in item.items()}
        return tensors | {"turning": torch.tensor(self._turning(window.clip), dtype=torch.float32)}

    def _turning(self, number: int) -> float:
        """Of a clip, by its number."""
        if number not in self._turnings:
            head = self.clips[number].moments(["head"])["head"]
            self._turnings[number] = float(np.sqrt(np.mean(head.mean[:3] ** 2 + head.variance[:3])))
        return self._turnings[number]

    def _mixed_subject(self, subject: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Blend the subject with another one, at random: with a few dozen people a network overfits to their meshes."""
        other_clip = self.clips[int(random.integers(len(self.clips)))]
        other = other_clip.subject
        _require_finite(other_clip, "subject", other)
        return subject + np.float32(random.uniform(0, self.config.subject_mix)) * (other - subject)

    def moments(self, groups: Iterable[str]) -> dict[str, Moments]:
        """Sums over all clips of "lips", "eyes", "head", "torso", "face", and of "subject", one value a clip.

        Raises `DataError` naming a clip that holds values which are not finite.
        """
        total: dict[str, Moments] = {}
        fetch_all(self.clips, [MOMENTS])
        for clip in self.clips:
            for name, part in clip.moments(groups).items():
                _require_finite(clip, name, part.mean)
                total[name] = total[name].absorb(part) if name in total else part
        return total


def _require_finite(clip: Clip, name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise DataError(f"clip {clip.id}: '{name}' is not finite everywhere; prepare it again or unlist it")


def window_batches(dataset: MotionSequences, batch: int, seed: int) -> list[list[Window]]:
    """One training epoch: as many batches as the footage would fill, each of one length; they depend on `seed` alone.

    A length is drawn with probability proportional to the summed weight of the identities that have
    a clip so long, so that the few long clips are not sampled more often than the many short ones.
    """
    random = np.random.default_rng(seed)
    longest = dataset.lengths[-1]
    tables = [(length, weights) for length in dataset.lengths if (weights := clip_weights(dataset.clips, length))]
    totals = np.array([sum(weights.values()) for _, weights in tables])
    numbers = [np.array(list(weights)) for _, weights in tables]
    shares = [np.array(list(weights.values())) for _, weights in tables]
    shares = [share / share.sum() for share in shares]
    batches = []
    for _ in range(max(1, len(dataset) // batch)):
        table = random.choice(len(tables), p=totals / totals.sum())
        length = tables[table][0]
        picked = random.choice(numbers[table], size=max(1, batch * longest // length), p=shares[table])
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

"""Speech with the frame posteriors of a phoneme teacher, as `data_prepare.speech` writes it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from moda.data.augmentation import augment_audio
from moda.data.settings import SpeechDataConfig
from moda.errors import DataError
from moda.reading import read_arrays, read_json, read_lines

FORMAT = 1
META_FILE = "speech.json"
TEACHER_HOP = 320
"""Samples from one teacher frame to the next: 50 Hz."""
FRAME_HOP = 640
"""Samples of one video frame at 25 fps: crops start on these."""


class Crop(NamedTuple):
    """One sample's key: audio number, first frame (25 fps), and the seed of its augmentation."""

    audio: int
    start: int
    seed: int


class SpeechMeta(NamedTuple):
    """The teacher that labelled the speech, and its symbols; the last symbol is the blank."""

    teacher: str
    symbols: tuple[str, ...]


def read_meta(root: Path) -> SpeechMeta:
    """Read ROOT/speech.json. Raises `DataError` if it is missing or of another format."""
    path = root / META_FILE
    if not path.is_file():
        raise DataError(f"no {META_FILE} in {root}; label speech with python -m data_prepare.speech")
    meta = read_json(path)
    if meta.get("format") != FORMAT:
        raise DataError(f"{path} has format {str(meta.get('format'))[:60]}, wanted {FORMAT}; label the speech again")
    teacher, symbols = meta.get("teacher"), meta.get("symbols")
    if not isinstance(teacher, str) or not isinstance(symbols, list) or not all(isinstance(s, str) for s in symbols):
        raise DataError(f"{path} is not the description of labelled speech: no teacher, or no list of symbols")
    return SpeechMeta(teacher, tuple(symbols))


class SpeechCrops(Dataset[dict[str, Tensor]]):
    """Crops of `frames` frames of one split; items are addressed by `Crop` or, in validation, by number.

    An item holds, T = frames: wave (640 T,), the network's input; clean (640 T,), the same before
    augmentation; posteriors (2 T, symbols), the teacher's log posteriors; valid (2 T,), 0 behind the
    end of an audio recording shorter than the crop. All recordings are held in memory, about 3 MB a minute.
    """

    def __init__(self, config: SpeechDataConfig, *, training: bool) -> None:
        self.config = config
        self.training = training
        self.meta = read_meta(config.root)
        split = "train" if training else "val"
        listing = config.root / "splits" / f"{split}.txt"
        names = [name for name in read_lines(listing) if name] if listing.is_file() else []
        if not names:
            raise DataError(f"labelled speech {config.root} has nothing in its '{split}' split ({listing})")
        if outside := [name for name in names if os.path.basename(name) != name]:
            raise DataError(f"{listing} names {outside[0]!r}, wanted names of files in {config.root}")
        self.names = names
        self._recordings = [_read_audio(config.root / f"{name}.npz", len(self.meta.symbols)) for name in names]
        self.frames = [max(1, len(wave) // FRAME_HOP) for wave, _ in self._recordings]
        """Whole video frames of every audio."""
        self.crops = [] if training else self._fixed_crops()

    def posteriors(self) -> Iterator[np.ndarray]:
        """The teacher's log posteriors of every audio, float16 (rows, symbols)."""
        return (posteriors for _, posteriors in self._recordings)

    def fingerprint(self) -> str:
        """Equal for equal speech with equal labels, wherever it lies."""
        digest = hashlib.sha256(repr((self.meta, self.names)).encode())
        for wave, posteriors in self._recordings:
            digest.update(wave.tobytes() + posteriors.tobytes())
        return digest.hexdigest()[:32]

    def _fixed_crops(self) -> list[Crop]:
        length = self.config.frames
        return [
            Crop(number, start, 0)
            for number, frames in enumerate(self.frames)
            for start in range(0, max(1, frames - length + 1), length)
        ]

    def __len__(self) -> int:
        return len(self.crops) if not self.training else max(1, sum(self.frames) // self.config.frames)

    def __getitem__(self, key: int | Crop) -> dict[str, Tensor]:
        crop = key if isinstance(key, Crop) else self.crops[key]
        wave, posteriors = self._recordings[crop.audio]
        wave, posteriors = wave[crop.start * FRAME_HOP :], posteriors[2 * crop.start :]
        samples, rows = self.config.frames * FRAME_HOP, 2 * self.config.frames
        random = np.random.default_rng(crop.seed)
        if self.training and self.config.speed:
            rate = 1 + random.uniform(-self.config.speed, self.config.speed)
            wave, posteriors = played_at(wave, rate, samples), played_at(posteriors, rate, rows)
        clean = np.zeros(samples, np.float32)
        piece = wave[:samples].astype(np.float32) / 32768
        clean[: len(piece)] = piece
        target = np.full((rows, posteriors.shape[1]), -np.log(posteriors.shape[1]), np.float32)
        labelled = posteriors[:rows]
        target[: len(labelled)] = labelled
        augmented = augment_audio(clean, self.config.augment, random) if self.training else clean
        valid = (np.arange(rows) < len(labelled)).astype(np.float32)
        arrays = {"wave": augmented, "clean": clean, "posteriors": target, "valid": valid}
        return {name: torch.from_numpy(values) for name, values in arrays.items()}


def played_at(values: np.ndarray, rate: float, length: int) -> np.ndarray:
    """The first `length` steps of (N, ...) values run through `rate` times as fast, between steps linearly; float32."""
    position = np.arange(min(length, int((len(values) - 1) / rate) + 1)) * rate
    low = position.astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    part = values[: high[-1] + 1].astype(np.float32)
    share = (position - low).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    return part[low] * (1 - share) + part[high] * share


def crop_batches(dataset: SpeechCrops, batch: int, seed: int) -> list[list[Crop]]:
    """One training epoch: recordings drawn by their length, starts at random; `seed` decides all."""
    random = np.random.default_rng(seed)
    frames = np.array(dataset.frames)
    batches = []
    for _ in range(max(1, len(dataset) // batch)):
        picked = random.choice(len(frames), size=batch, p=frames / frames.sum())
        starts = random.integers(0, np.maximum(1, frames[picked] - dataset.config.frames + 1))
        seeds = random.integers(0, 2**31, size=batch)
        batches.append([Crop(int(a), int(b), int(c)) for a, b, c in zip(picked, starts, seeds, strict=True)])
    return batches


def _read_audio(path: Path, symbols: int) -> tuple[np.ndarray, np.ndarray]:
    """(wave int16 (N,), posteriors float16 (T, symbols)) of one labelled audio."""
    arrays = read_arrays(path, ["wave", "posteriors"], hint="; delete it and label the speech again")
    wave, posteriors = arrays["wave"], arrays["posteriors"]
    if wave.ndim != 1 or wave.dtype != np.int16 or posteriors.dtype != np.float16 or not len(wave):
        raise DataError(
            f"{path}: the wave is {wave.dtype} {wave.shape} and the posteriors are {posteriors.dtype}, "
            "wanted int16 (N,) and float16; label the speech again"
        )
    if posteriors.ndim != 2 or posteriors.shape[1] != symbols:
        raise DataError(
            f"{path}: posteriors have shape {posteriors.shape}, wanted (T, {symbols}); label the speech again"
        )
    return wave, posteriors

"""Features of a frozen speech encoder, computed once a clip and kept on disk: they cost more than a training step.

Training draws one of some versions of a clip's audio for each window: the first is the clip's own, the others are
changed as `augment_audio` changes a window. Validation reads the first.
"""

from __future__ import annotations

import hashlib
import logging
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from moda.data.augmentation import augment_audio
from moda.data.clip import Clip
from moda.data.settings import AudioAugmentation
from moda.files import make_folder, write_npy
from moda.representation import samples_at

log = logging.getLogger(__name__)


class FrozenEncoder(Protocol):
    """A network (`nn.whisper`) whose features of a frame do not depend on where a window starts."""

    def __call__(self, wave: Tensor, frames: int, /) -> Tensor:
        """(1, N), T -> (1, T, channels)."""
        ...

    @property
    def rule(self) -> str:
        """What the features depend on beside weights and audio."""
        ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def cpu(self) -> FrozenEncoder: ...


class EncodedAudio:
    """Features of clips, computed on the CPU when a clip is first read, by whichever process reads it."""

    def __init__(self, encoder: FrozenEncoder, folder: Path, versions: int, augment: AudioAugmentation) -> None:
        """encoder: of it a copy is taken, on the CPU: loading processes must not touch a GPU.

        folder: where the features are kept, from one run to the next.
        """
        self._encoder = deepcopy(encoder).cpu()
        self._folder, self.versions, self._augment = folder, versions, augment

    @cached_property
    def _name(self) -> str:
        """Of the encoder: equal for equal weights and an equal rule."""
        digest = hashlib.sha256(self._encoder.rule.encode())
        for name, value in self._encoder.state_dict().items():
            digest.update(name.encode() + value.numpy().tobytes())
        return digest.hexdigest()

    def between(self, clip: Clip, version: int, start: int, stop: int) -> np.ndarray:
        """(stop - start, channels) float32: features of frames [start, stop) of one version of a clip's audio."""
        key = (self._name, clip.id, clip.digest, version, self._augment.model_dump_json() if version else "")
        path = self._folder / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.npy"
        if not path.exists():
            make_folder(self._folder)
            write_npy(path, self._encode(clip, version))
        return np.load(path, mmap_mode="r")[start:stop].astype(np.float32)

    def _encode(self, clip: Clip, version: int) -> np.ndarray:
        """(T, channels) float16."""
        wave = clip.audio_between(0, samples_at(clip.frames))
        if version:
            wave = augment_audio(wave, self._augment, np.random.default_rng((version, *clip.id.encode())))
        with torch.inference_mode():
            features = self._encoder(torch.from_numpy(wave)[None], clip.frames)
        return features[0].to(torch.float16).numpy()

"""What inference asks of the three networks: the interfaces between training stages and `moda.pipeline`.

Dimension letters: B batch, N audio samples (16 kHz), T frames (25 fps), Z noise channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from moda.representation import Portrait


class MotionParts(Protocol):
    """Motion in physical units: lips (B, T, 40, 3), eyes (B, T, 60, 3), head (B, T, 7), torso (B, T, 18, 3)."""

    @property
    def lips(self) -> Tensor: ...
    @property
    def eyes(self) -> Tensor: ...
    @property
    def head(self) -> Tensor: ...
    @property
    def torso(self) -> Tensor: ...


class WindowSettings(Protocol):
    """Frames of a window at inference, from one window to the next, and of a period of the attention."""

    @property
    def window(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def period(self) -> int: ...


class SpeechFeatures(Protocol):
    """What a speech encoder makes of a recording; it does not depend on how the recording is cut into windows."""

    def between(self, start: int, stop: int, /) -> Tensor:
        """Of frames [start, stop): (1, stop - start, channels); start never falls from one call to the next."""
        ...


class MotionNetwork(Protocol):
    """Stage 1: audio and subject to motion. latent_dim: Z, 0 where it draws nothing."""

    latent_dim: int

    @property
    def config(self) -> WindowSettings: ...

    @property
    def lips_mean(self) -> Tensor:
        """(40, 3) mean of the lips over the training set, pixels: what contrast is applied about."""
        ...

    def listen(self, wave: Tensor, /) -> SpeechFeatures | None:
        """Of a whole recording (N,); None where the features of a window are computed from its own samples."""
        ...

    @property
    def heard_samples(self) -> int:
        """Samples that `hear` takes; 0 where the features of a window are computed from its own samples."""
        ...

    def hear(self, window: Tensor, frames: int, ahead: int, /) -> Tensor:
        """Speech features (1, frames, channels) of frames that end `ahead` before a window of samples (N,) ends."""
        ...

    def __call__(
        self, wave: Tensor, subject: Tensor, frames: int, noise: Tensor | None, speech: Tensor | None, /
    ) -> MotionParts:
        """Wave (B, N) in -1..1, subject (B, 478, 3), noise (B, T, Z) standard normal or None, what `listen` gave."""
        ...


class FaceNetwork(Protocol):
    """Stage 2, frame by frame."""

    def __call__(self, lips: Tensor, eyes: Tensor, subject: Tensor, /) -> Tensor:
        """Lips (B, T, 40, 3), eyes (B, T, 60, 3), subject (B, 478, 3) -> offsets of the face (B, T, 478, 3), pixels."""
        ...


class RenderSession(Protocol):
    """A portrait opened for rendering."""

    def render(self, landmarks: np.ndarray, torso: np.ndarray, first: int, /) -> np.ndarray:
        """(B, 478, 3) and (B, 18, 3), pixels of the square frame -> (B, size, size, 3) uint8 RGB."""
        ...

    def stream(self, batches: Iterable[tuple[np.ndarray, np.ndarray, int]], /) -> Iterator[np.ndarray]:
        """`render` of each batch of arguments, in order; on a GPU some batches ahead of what was asked for."""
        ...


class RendererSettings(Protocol):
    """What a renderer was trained for."""

    def check_size(self, size: int) -> None:
        """Raise `ConfigError` if it cannot render frames of `size` pixels."""
        ...


class RendererNetwork(Protocol):
    """Stage 3: landmarks and a reference picture to frames."""

    @property
    def config(self) -> RendererSettings: ...

    def open(self, portrait: Portrait, device: torch.device, size: int, /) -> RenderSession:
        """Prepare what depends on the portrait alone; size: side of the frames, pixels."""
        ...

"""How a portrait is animated: what a user may set (configs/default/infer.yaml)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from moda.config import Config
from moda.lips import PauseConfig
from moda.representation import FPS
from moda.smoothing import SmoothingConfig


class CheckpointPaths(Config):
    """Where the three networks are; from the current folder, else among what ships."""

    audio2repr: Path = Path("assets/checkpoints/audio2repr.pt")
    """Stage 1, sound to motion."""
    faco: Path = Path("assets/checkpoints/faco.pt")
    """Stage 2, lips and eyes to the whole face."""
    renderer: Path = Path("assets/checkpoints/renderer.pt")
    """Stage 3, landmarks to frames."""


class GainConfig(Config):
    """How much of its motion each part keeps; 1 as predicted, 0 still."""

    lips: float = Field(1.0, ge=0, le=4)
    """Lips, about the closed mouth."""
    eyes: float = Field(1.0, ge=0, le=4)
    """Eyes, brows and irises."""
    head: float = Field(1.0, ge=0, le=4)
    """Head rotation, translation and scale."""
    torso: float = Field(1.0, ge=0, le=4)
    """Shoulders."""


class AnimationConfig(Config):
    """How a portrait is animated. configs/default/infer.yaml states these defaults."""

    checkpoints: CheckpointPaths = CheckpointPaths()
    """The three networks."""
    face: Literal["faco", "rest"] = "faco"
    """What places the other points: stage 2, or "rest": they stay as the subject has them (an ablation)."""
    size: int = Field(256, ge=64, le=2048)
    """Side of the video, pixels; even."""
    fps: float = Field(FPS, ge=1, le=120)
    """Frames per second of the video. Motion is made at 25 and resampled by time."""
    smoothing: SmoothingConfig = SmoothingConfig()
    """Temporal filter of the motion."""
    gains: GainConfig = GainConfig()
    """Size of the motion, by part."""
    lip_contrast: float = Field(1.25, ge=0, le=4)
    """Enlarges the lips' movement about their own mean over the clip, where a gain would hold the mouth open. The
    shipped stage 1 opens lips 0.7 to 0.85 as far as people do."""
    flow_steps: int | None = Field(6, ge=1, le=1000)
    """Steps of stage 1's flow solver; null = as in its checkpoint."""
    pauses: PauseConfig | None = PauseConfig()
    """When the mouth closes by itself; null = only when the network closes it (as in the paper)."""
    batch: int = Field(8, ge=1)
    """Frames rendered at once; memory grows with it."""
    crf: int = Field(18, ge=0, le=51)
    """Quality of the H.264 encoding, lower is better and larger."""
    preset: str = "veryfast"
    """Speed of the H.264 encoding."""

    @field_validator("size")
    @classmethod
    def _even(cls, size: int) -> int:
        if size % 2:
            raise ValueError("should be even, for H.264")
        return size

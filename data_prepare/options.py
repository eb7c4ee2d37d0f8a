"""The settings of preparation, and the limits beyond which a clip is rejected."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from moda.config import Config


class Limits(Config):
    """A clip beyond one of these is rejected, with the figure. Each is for clips that are of no use in training."""

    min_face: float = Field(32.0, ge=0, description="Face in the source, pixels (the larger of width and height).")
    min_tracked: float = Field(0.9, ge=0, le=1, description="Share of frames in which the face is found.")
    min_sharpness: float = Field(3.0, ge=0, description="Median variance of the Laplacian in the face, grey levels.")
    max_yaw: float = Field(60.0, ge=0, description="95th percentile of the head's turn to a side, degrees.")
    max_outside: float = Field(0.5, ge=0, le=1, description="Share of frames in which the face leaves the crop.")
    min_loudness: float = Field(-60.0, description="Audio, dB below full scale; below it there is none.")
    min_lip_motion: float = Field(
        1.4, ge=0, description="With audio: motion of the lips within a second, pixels of the square frame."
    )
    min_lip_range: float = Field(0.1, ge=0, description="With audio: lip opening, 1st to 99th percentile, likewise.")
    max_offset: float = Field(12.0, ge=0, description="Settled audio-video offset, frames; a larger one is rejected.")


class Options(Config):
    """Settings of preparation, the `options` of configs/default/prepare.yaml."""

    size: int = Field(512, ge=64, multiple_of=2, description="Side of the stored video, pixels.")
    allow_silent: bool = Field(False, description="Keep clips without audio.")
    max_seconds: float = Field(300.0, ge=2.0, description="A longer shot becomes several clips of equal length.")
    correct_offset: bool = Field(True, description="Move the audio of a clip by its settled audio-video offset.")
    settled_only: bool = Field(False, description="Reject clips with audio whose offset cannot be settled.")
    sync: Path | None = Field(None, description="Checkpoint of stage sync; null: the one that ships in assets/.")
    annotations: Path | None = Field(None, description="Folder of pose, masks or parsing made elsewhere, see README.")
    limits: Limits = Limits()

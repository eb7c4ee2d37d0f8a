"""Settings of data sets. Light to import: commands read them before they load any data."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from moda.config import Config
from moda.errors import ConfigError


class AudioAugmentation(Config):
    """How far the audio of a training window may change."""

    gain_db: float = Field(9.0, ge=0, description="Gain drawn from +- this, dB.")
    noise: float = Field(0.5, ge=0, le=1, description="Share of windows that get additive noise.")
    snr_db: tuple[float, float] = Field((10.0, 40.0), description="Signal-to-noise ratio drawn from this range, dB.")


class SequenceConfig(Config):
    """Which windows are drawn from which clip store."""

    store: Path = Field(description="Clip store made by `moda prepare`.")
    lengths: tuple[int, ...] = Field(
        (70, 150, 300),
        min_length=1,
        description="Window lengths in frames; every batch draws one. 70 admits clips of three seconds.",
    )
    subject_mix: float = Field(
        0.5, ge=0, le=1, description="Training: the subject's mesh moves toward another clip's by up to this share."
    )
    settled_only: bool = Field(
        False, description="Training: leave out clips whose audio-video offset preparation could not settle."
    )
    augment: AudioAugmentation = Field(AudioAugmentation(), description="Training: changes to the audio.")
    encoded: Path | None = Field(
        None,
        description="Folder that keeps the features of a speech encoder with front: whisper, so that they are computed "
        "once a clip and not for every window; null computes them in every step. It may be removed at any time.",
    )
    encoded_versions: int = Field(
        3, ge=1, description="Training: versions of each clip's audio among them; all but the first are augmented."
    )

    def check_files(self) -> None:
        _check_store(self.store)


class SpeechDataConfig(Config):
    """Which crops of which labelled speech."""

    root: Path = Field(description="Folder made by `python -m data_prepare.speech`.")
    frames: int = Field(100, ge=4, description="Length of a crop in frames of 25 fps (100 = 4 s).")
    speed: float = Field(
        0.0, ge=0, lt=0.5, description="Training: voices faster and higher, or slower and lower, by up to this share."
    )
    augment: AudioAugmentation = Field(
        AudioAugmentation(noise=0.6, snr_db=(5.0, 40.0)), description="Training: changes to the audio."
    )


class SyncDataConfig(Config):
    """Which windows of which clips, and how they are changed."""

    store: Path = Field(description="Clip store made by `moda prepare`.")
    frames: int = Field(72, ge=40, description="Length of a window, frames; clips that are shorter are left out.")
    reach: int = Field(15, ge=1, description="The audio is moved by up to this many frames, drawn uniformly.")
    offsets: Path | None = Field(
        None,
        description="TSV of 'clip_id<TAB>frames', the frames by which the picture of a clip comes late by itself "
        "(python -m data_prepare.offsets). Clips that it does not name are left out.",
    )
    augment: AudioAugmentation = Field(
        AudioAugmentation(noise=0.5, snr_db=(5.0, 40.0)), description="Training: changes to the audio."
    )
    mirror: float = Field(0.5, ge=0, le=1, description="Training: share of windows whose face is mirrored.")
    cache_frames: int = Field(300_000, ge=0, description="Frames cached in memory (about 2 kB each).")

    def check_files(self) -> None:
        _check_store(self.store)


class FramesConfig(Config):
    """Where the frames come from."""

    video: Path | None = None
    """Video of one person: `moda train` makes the store of it, in the run's output folder."""
    store: Path | None = None
    """Clip store made by `moda prepare`; null with `video`."""
    held_out: float | None = Field(None, gt=0, le=0.5)
    """Validate on the last share of the time of the training split's clips, which are then taken to be one video
    in the order of the list; null validates on the split `val`."""
    train: str = "train"
    """Split to train on."""
    val: str = "val"
    """Split to validate on."""
    identity: str | None = None
    """Only the clips of this person; null takes all."""
    min_face_px: float = Field(0.0, ge=0)
    """Training: only clips whose face spans so many pixels of the source; a renderer of 512 px learns no detail from
    smaller ones."""
    targets: int = Field(4, ge=1)
    """Target frames for each reference frame; a batch has trainer.batch references."""
    photos: Path | None = None
    """Photo store made by `moda prepare --photos`; photographs are trained on beside the clips. Needs a warp."""
    photo_pairs: int = Field(1, ge=1)
    """Photographs for each reference frame and its targets."""
    colour: float = Field(0.0, ge=0)
    """Strength of the colour augmentation, standard deviation of log gamma."""
    cache_gb: float = Field(2.0, ge=0)
    """Memory for decoded frames to train on, GB, of all workers together (of each where they are not forked). Of a
    store of which less than a quarter fits, none is kept."""

    @model_validator(mode="after")
    def _somewhere(self) -> FramesConfig:
        if self.store is None and self.video is None:
            raise ValueError("neither video nor store is given: --set data.video=me.mp4, or data.store=FOLDER")
        return self

    def check_files(self) -> None:
        if self.video is not None and self.store is not None:
            raise ConfigError("data.video and data.store are both given; set data.store=null, or data.video=null")
        if self.video is not None:
            from moda.reading import require_file

            require_file(self.video, "video")
        elif self.store is not None:
            _check_store(self.store)
        if self.photos is not None:
            from moda.data.photos import PhotoStore

            PhotoStore.open(self.photos)


def _check_store(store: Path) -> None:
    from moda.data.store import ClipStore

    ClipStore.open(store)

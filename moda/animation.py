"""How a portrait is animated: what a user may set (configs/default/infer.yaml)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_serializer, field_validator

from moda.config import Config
from moda.controls import HeadChannel, Part
from moda.errors import CheckpointError
from moda.expressions import MAX_AMOUNT, Expression
from moda.lips import PauseConfig
from moda.locations import CONFIGS, command, find_checkpoint, shipped
from moda.representation import FPS, WindowsName
from moda.smoothing import SmoothingConfig


class CheckpointPaths(Config):
    """Where the three networks are; from the current folder, else among what ships."""

    audio2repr: Path = Path("assets/checkpoints/audio2repr.pt")
    """Stage 1, audio to motion."""
    faco: Path = Path("assets/checkpoints/faco.pt")
    """Stage 2, lips and eyes to the whole face."""
    renderer: dict[int, Path] = Field(
        default={256: Path("assets/checkpoints/renderer.pt"), 512: Path("assets/checkpoints/renderer_512.pt")}
    )
    """Stage 3, landmarks to frames: by size of the frames, pixels, of which the smallest that reaches the wanted `size`
    is taken, else the largest; or a single file for any size."""

    @field_validator("renderer", mode="before")
    @classmethod
    def _by_size(cls, given: Any) -> Any:
        if isinstance(given, str | Path):
            return {0: given}
        if not isinstance(given, dict) or not given:
            raise ValueError('wanted a file, or files by size of the frames as {"256": FILE, "512": FILE}')
        return given

    @field_serializer("renderer", mode="wrap")
    def _as_given(self, files: dict[int, Path], serialise: SerializerFunctionWrapHandler) -> Any:
        written = serialise(files)
        return next(iter(written.values())) if set(files) == {0} else written


class GainConfig(Config):
    """How much of its motion each part keeps; 1 as predicted (but for the brows), 0 still."""

    lips: float = Field(1.0, ge=0, le=4)
    """Lips, about the closed mouth."""
    eyes: float = Field(1.0, ge=0, le=4)
    """Eyes, brows and irises."""
    brows: float = Field(1.5, ge=0, le=4)
    """Brows, beside what `eyes` does: the shipped stage 1 moves them 0.6 as far as people who talk to a camera do."""
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
    lip_contrast: float = Field(1.4, ge=0, le=4)
    """Enlarges the lips' movement about their mean over the training set, where a gain would hold the mouth open. The
    shipped stage 1 opens lips 0.7 to 0.85 as far as people do."""
    flow_steps: int | None = Field(6, ge=1, le=1000)
    """Steps of stage 1's flow solver; null = as in its checkpoint."""
    liveliness: float | None = Field(7.0, gt=0, le=16)
    """How lively the head is: as people in the training footage whose head turns by so many degrees (root mean square
    of pitch, yaw and roll about their medians). 1 reads and holds still, 3 is calm, 7 talks, 10 is agitated; null =
    as in the checkpoint of stage 1. One that was trained without `network.flow.liveliness` does not know it."""
    fixations: bool = True
    """The gaze rests on a place while the head turns, and jumps to the next (`moda.gaze`); False: as the network drew
    it."""
    listening: float = Field(0.4, ge=0, le=1)
    """How much of its motion the head keeps in a silence (`pauses`) of some seconds, and the shoulders, which lose less
    (`moda.listening`); 1: as in speech."""
    pauses: PauseConfig | None = PauseConfig()
    """When the mouth closes by itself; null = only when the network closes it (as in the paper)."""
    windows: WindowsName = "stream"
    """What stage 1 sees at once. "stream": windows of about 4 s, one every 0.4 s, that a stream can hold: a frame is at
    most 1.08 s behind its sound. "low_delay": one every 0.16 s, at most 0.4 s behind, with lips that are somewhat
    less exact. "paper": 300 frames every 150, over the whole sound."""
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

    def stages(self, *, with_motion: bool = True) -> list[str]:
        """The stages whose networks are needed; with_motion: False for motion that comes from a file."""
        needed = {"audio2repr": with_motion, "faco": self.face != "rest", "renderer": True}
        return [stage for stage, wanted in needed.items() if wanted]

    def named(self) -> dict[str, Path]:
        """By stage what `checkpoints` says for frames of this size."""
        of = self.checkpoints
        size = min((size for size in of.renderer if size >= self.size), default=max(of.renderer))
        return {"audio2repr": of.audio2repr, "faco": of.faco, "renderer": of.renderer[size]}

    def networks(self, *, with_motion: bool = True) -> dict[str, Path]:
        """The file of the checkpoint of each stage that is needed; raises `CheckpointError`."""
        return {stage: self.network(stage) for stage in self.stages(with_motion=with_motion)}

    def network(self, stage: str) -> Path:
        """The file of a stage's checkpoint; raises `CheckpointError` that says how to get one."""
        path = self.named()[stage]
        try:
            return find_checkpoint(path)
        except CheckpointError as error:
            trained_by = _trained_by(path) or f"default/{stage}"
            raise CheckpointError(
                f"no checkpoint of stage '{stage}': {path}; train it with '{command('train')} --config "
                f"{trained_by}', or name another under checkpoints.{stage} of the configuration"
            ) from error


def _trained_by(path: Path) -> str | None:
    """The configuration that ships whose run this checkpoint is of: runs/paper/faco/best.pt is paper/faco's."""
    if path.parts[:1] != ("runs",) or len(path.parts) < 3:
        return None
    name = Path(*path.parts[1:-1])
    return name.as_posix() if shipped(CONFIGS / f"{name}.yaml").is_file() else None


class ControlConfig(Config):
    """What a user changes of the motion before it is rendered (`moda.controls`)."""

    take: dict[Part, Path] = Field(default={})
    """Parts from elsewhere: a motion file, a table of curves (CSV), or a video whose face is tracked."""
    freeze: tuple[Literal["lips", "eyes", "head", "torso", "gaze"], ...] = ()
    """Parts that stay as the portrait has them."""
    expression: dict[Expression, Annotated[float, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]] = Field(default={})
    """Expressions laid over the motion, 1 as strong as the strongest of 100 faces; a negative one does the opposite.
    neutral: the share of the picture's own expression (a smile, raised or lowered brows) that is taken away."""
    blinks: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    """Seconds at which the eyes are shut, in the place of the blinks that were made; null = these."""
    offset: dict[HeadChannel, float] = Field(default={})
    """Constant change of the head: degrees, pixels of the square frame, or share of the scale."""
    speed: float = Field(1.0, ge=0.5, le=2)
    """How many times as fast the voice is played, at its pitch."""


class InferenceConfig(AnimationConfig):
    """How a portrait is animated, and what of its picture the video shows."""

    framing: Literal["crop", "full"] = "crop"
    """crop: the animated square; full: the whole picture, in which it moves."""
    long_side: int = Field(1280, ge=64, le=4096)
    """Longest side of a video that shows the whole picture, pixels: a larger picture is scaled down."""
    accept_face: bool = False
    """Animate a face that would be refused: its mouth is covered or cut off, it is a profile."""
    visible_mark: str | None = None
    """A text in the corner of every frame."""
    controls: ControlConfig = ControlConfig()
    """Changes of the motion."""

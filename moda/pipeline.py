"""Sound and portrait to frames: the only file that knows the order of the three networks.

    wave -> audio2repr, by windows -> Motion -> smoothing -> FaCo-Net -> face and torso -> renderer -> frames

Dimension letters: B batch, N audio samples, T frames, Z latent channels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from pydantic import Field, field_validator
from scipy.ndimage import maximum_filter1d
from torch import Tensor, nn

from moda import checkpoint
from moda.config import Config
from moda.errors import CheckpointError, ConfigError, DataError
from moda.geometry import apply_head, to_image
from moda.representation import FPS, SAMPLE_RATE, Motion, Portrait, frames_of, samples_at
from moda.smoothing import SmoothingConfig, gaussian, smooth_motion
from moda.stages.faco.network import RestingFace
from moda.stages.registry import build_network
from moda.windows import SlidingWindow, run_windowed

ROOT = Path(__file__).resolve().parents[1]
"""Folder that holds the `moda` package: relative paths are looked for here after the current folder."""
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
_CHUNK = 300
"""Frames whose landmarks are computed at once."""

log = logging.getLogger(__name__)


class CheckpointPaths(Config):
    """Where the three networks are; relative to the current folder, else to the project's."""

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
    """How a portrait is animated (configs/default/infer.yaml)."""

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
    lip_contrast: float = Field(1.0, ge=0, le=4)
    """Enlarges the lips' movement about their own mean over the clip, where a gain would hold the mouth open."""
    flow_steps: int | None = Field(None, ge=1, le=1000)
    """Steps of stage 1's flow solver; null = as in its checkpoint."""
    silence_db: float = -70.0
    """Where the sound is quieter than this (dB of full scale) the mouth closes, whatever the network says."""
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


class RenderSession(Protocol):
    """A portrait opened for rendering."""

    def render(self, landmarks: np.ndarray, torso: np.ndarray, first: int, /) -> np.ndarray:
        """(B, 478, 3) and (B, 18, 3), pixels of the square frame -> (B, size, size, 3) uint8 RGB."""
        ...


class Renderer(Protocol):
    """What a renderer network offers to inference."""

    def open(self, portrait: Portrait, device: torch.device, size: int) -> RenderSession:
        """Prepare what depends on the portrait alone; size: side of the frames, pixels."""
        ...


def choose_device(name: DeviceName = "auto") -> torch.device:
    """The device of that name; `auto` takes CUDA, then MPS, then the CPU. Raises `ConfigError` if it is absent."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if present[kind]))
    if not present[name]:
        there = ", ".join(kind for kind, here in present.items() if here)
        raise ConfigError(f"device '{name}' is not available here; available: {there}")
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """One line that names a device."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type


def locate(path: Path) -> Path:
    """A configured path: as it stands from the current folder, else from the project's."""
    return path if path.is_absolute() or path.exists() else ROOT / path


class Animator:
    """Three trained networks, chained. `from_config` loads them; the methods are the steps, in order."""

    def __init__(self, config: AnimationConfig, networks: dict[str, nn.Module], device: torch.device) -> None:
        self.config = config
        self.device = device
        self._networks = {name: network.to(device).eval() for name, network in networks.items()}

    @classmethod
    def from_config(cls, config: AnimationConfig, device: torch.device, *, with_motion: bool = True) -> Animator:
        """Load the checkpoints. Raises `CheckpointError` if one is missing, damaged, of another stage
        or of another representation (rates, units, groups of landmarks).

        with_motion: False leaves stage 1 out, for motion that comes from a file.
        """
        paths = {"audio2repr": config.checkpoints.audio2repr} if with_motion else {}
        paths |= {"faco": config.checkpoints.faco, "renderer": config.checkpoints.renderer}
        if config.face == "rest":
            del paths["faco"]
        networks = {stage: _load(stage, locate(path), config, device) for stage, path in paths.items()}
        return cls(config, {"faco": RestingFace(), **networks}, device)

    def motion(self, wave: np.ndarray, portrait: Portrait, seed: int = 0) -> Motion:
        """Sound (N,) at 16 kHz to smoothed motion at the configured frame rate.

        The noise is drawn once for the clip from `seed`, on the CPU, so that neighbouring windows
        agree and every device draws the same.
        """
        frames = frames_of(len(wave))
        network = self._networks["audio2repr"]
        generator = torch.Generator().manual_seed(seed)
        latent = int(getattr(network, "latent_dim", 0))
        noise = torch.randn(frames, latent, generator=generator).to(self.device) if latent else None
        samples = np.zeros(max(samples_at(frames), len(wave)), np.float32)
        samples[: len(wave)] = wave
        sound = torch.from_numpy(samples).to(self.device)
        subject = self._subject(portrait)

        def predict(start: int, stop: int) -> dict[str, Tensor]:
            piece = sound[samples_at(start) : samples_at(stop)]
            drawn = None if noise is None else noise[None, start:stop]
            out = network(piece[None], subject, stop - start, drawn)
            return {name: getattr(out, name)[0].float().cpu() for name in ("lips", "eyes", "head", "torso")}

        with torch.inference_mode():
            parts = {
                name: values.numpy() for name, values in run_windowed(predict, frames, window=_window(network)).items()
            }
        bad = [name for name, values in parts.items() if not np.isfinite(values).all()]
        if bad:
            raise CheckpointError(
                f"stage audio2repr gave values that are not finite for {', '.join(bad)}; train it again"
            )
        parts["lips"] = (
            with_contrast(parts["lips"], self.config.lip_contrast)
            * mouth_gate(samples, frames, self.config.silence_db)[:, None, None]
        )
        gains = self.config.gains
        motion = Motion(parts["lips"], parts["eyes"], parts["head"], parts["torso"])
        motion = smooth_motion(motion.scaled(gains.lips, gains.eyes, gains.head, gains.torso), self.config.smoothing)
        return motion.at_fps(self.config.fps, frames_of(len(wave), self.config.fps))

    def landmarks(self, motion: Motion, portrait: Portrait) -> tuple[np.ndarray, np.ndarray]:
        """Motion to face (T, 478, 3) and torso (T, 18, 3), float32 pixels of the square frame."""
        network, subject = self._networks["faco"], self._subject(portrait)
        lips, eyes = (torch.from_numpy(np.asarray(part, np.float32)) for part in (motion.lips, motion.eyes))

        def place(start: int, stop: int) -> dict[str, Tensor]:
            given = (lips[None, start:stop].to(self.device), eyes[None, start:stop].to(self.device))
            offsets = network(*given, subject)[0].float().cpu().numpy()
            pose = apply_head(portrait.pose, motion.head[start:stop])
            return {"face": torch.from_numpy(to_image(portrait.subject + offsets, pose).astype(np.float32))}

        # Frame by frame, so windows need no overlap.
        with torch.inference_mode():
            face = run_windowed(place, len(motion), window=SlidingWindow(_CHUNK, _CHUNK))["face"].numpy()
        if not np.isfinite(face).all():
            raise CheckpointError("stage faco gave values that are not finite; train it again")
        return face, (portrait.torso + motion.torso).astype(np.float32)

    def render(self, face: np.ndarray, torso: np.ndarray, portrait: Portrait) -> Iterator[np.ndarray]:
        """Yield the frames of `landmarks`, (size, size, 3) uint8 RGB, computed a batch at a time when asked for."""
        session = cast(Renderer, self._networks["renderer"]).open(portrait, self.device, self.config.size)
        for start in range(0, len(face), self.config.batch):
            part = slice(start, start + self.config.batch)
            with torch.inference_mode():
                frames = session.render(face[part], torso[part], start)
            yield from frames

    def frames(self, motion: Motion, portrait: Portrait) -> Iterator[np.ndarray]:
        """Yield the frames of a motion: `landmarks`, then `render`. Memory does not grow with its length
        from the renderer on.
        """
        face, torso = self.landmarks(motion, portrait)
        yield from self.render(face, torso, portrait)

    def _subject(self, portrait: Portrait) -> Tensor:
        return torch.from_numpy(np.asarray(portrait.subject, np.float32))[None].to(self.device)


def fit_motion(motion: Motion, fps: float, samples: int) -> Motion:
    """A motion read from a file, at `fps`, for a sound of `samples`; raises `DataError` if it is of another length."""
    if not all(np.isfinite(part).all() for part in (motion.lips, motion.eyes, motion.head, motion.torso)):
        raise DataError("the motion holds values that are not finite; make it again with --save-motion")
    seconds, wanted = len(motion) / motion.fps, samples / SAMPLE_RATE
    if abs(seconds - wanted) > 1.5 / min(motion.fps, fps):
        raise DataError(
            f"the motion lasts {seconds:.2f} s and the sound {wanted:.2f} s; give the sound it was made from"
        )
    return motion.at_fps(fps, frames_of(samples, fps))


def with_contrast(lips: np.ndarray, contrast: float) -> np.ndarray:
    """Lips (T, 40, 3) with their deviation from the clip's mean enlarged; L1 training makes it too small."""
    mean = lips.mean(axis=0, keepdims=True)
    return mean + contrast * (lips - mean)


def mouth_gate(samples: np.ndarray, frames: int, silence_db: float) -> np.ndarray:
    """How far lips may move: (T,) float32, 0 in silence, 1 in sound, eased over a few frames.

    A frame is silent if it and its neighbours (0.16 s) stay under `silence_db`; the speech encoder
    normalises its input, so what is left of silence would be heard as loud noise.
    """
    starts = [samples_at(frame) for frame in range(frames)]
    power = np.add.reduceat(samples.astype(np.float64) ** 2, starts) / np.diff([*starts, len(samples)])
    level = 10 * np.log10(np.maximum(power, 1e-20))
    heard = maximum_filter1d((level > silence_db).astype(np.float32), 9, mode="nearest")
    return np.asarray(gaussian(heard, 2.0), np.float32)


def _load(stage: str, path: Path, config: AnimationConfig, device: torch.device) -> nn.Module:
    if not path.exists():
        raise CheckpointError(
            f"no checkpoint of stage '{stage}': {path}; train it with 'python scripts/train.py --config "
            f"configs/default/{stage}.yaml', or name another under checkpoints.{stage} of the configuration"
        )
    loaded = checkpoint.load(path, stage=stage, map_location="cpu")
    section = loaded.config.get("network")
    if not isinstance(section, dict):
        raise CheckpointError(f"the checkpoint {path} does not say what network it holds; train it again")
    if stage == "audio2repr" and config.flow_steps is not None:
        section = _with_flow_steps(section, config.flow_steps)
    network = build_network(stage, section, source=str(path))
    checkpoint.load_weights(network, loaded.weights, source=str(path))
    if stage == "renderer":
        _check_size(network, config.size)
    return network.to(device)


def _with_flow_steps(section: dict[str, Any], steps: int) -> dict[str, Any]:
    return {**section, "flow": {**section.get("flow", {}), "steps": steps}}


def _check_size(network: nn.Module, size: int) -> None:
    """Renderers are convolutional and take other sizes than their own, but have learned detail at one."""
    config = getattr(network, "config", None)
    learned = getattr(config, "size", size)
    if learned == size:
        return
    if not getattr(config, "warp", True) and size % learned:
        raise ConfigError(
            f"this renderer (without a warp) renders at {learned} px or a multiple of it, got size {size}"
        )
    log.warning("the renderer was trained at %d px and renders at %d px: detail may suffer", learned, size)


def _window(network: nn.Module) -> SlidingWindow:
    """The window the network was made for."""
    config = getattr(network, "config", None)
    return SlidingWindow(getattr(config, "window", _CHUNK), getattr(config, "stride", _CHUNK // 2))

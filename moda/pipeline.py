"""Audio and portrait to frames: the only file that knows the order of the three networks.

    wave -> audio2repr, by windows -> Motion -> smoothing -> FaCo-Net -> face and torso -> renderer -> frames

Dimension letters: B batch, N audio samples, T frames, Z latent channels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from moda import checkpoint
from moda.animation import AnimationConfig, CheckpointPaths, GainConfig
from moda.config import to_dict
from moda.device import choose_device
from moda.errors import CheckpointError, ConfigError, DataError
from moda.gaze import Fixations
from moda.geometry import apply_head, to_image
from moda.hub import load_pretrained
from moda.landmarks import N_LANDMARKS, N_TORSO, OTHERS
from moda.lips import mouth_gate, with_contrast
from moda.media.in_memory import audio_from_array
from moda.media.video_writer import VideoWriter
from moda.networks import FaceNetwork, MotionNetwork, RendererNetwork
from moda.provenance import record_of, tags
from moda.reading import require_file
from moda.representation import FPS, SAMPLE_RATE, Motion, Portrait, frames_of, require_array, samples_at
from moda.smoothing import gaussian, smooth_motion
from moda.stages.faco.network import RestingFace
from moda.stages.registry import load_network
from moda.tracking.checks import eyes_closed
from moda.windows import SlidingWindow, run_windowed

_CHUNK_FRAMES = 300
"""Frames whose landmarks are computed at once."""
_FILTER_FRAMES = 1500
"""Frames that are filtered at once: a minute."""
_PARTS = ("lips", "eyes", "head", "torso")
_LOADED = ("checkpoints", "face", "flow_steps", "liveliness")
"""Settings that decide which networks are loaded, and how."""

__all__ = [
    "AnimationConfig", "Animator", "CheckpointPaths", "GainConfig", "choose_device", "fit_motion", "mouth_gate",
    "with_contrast",
]  # fmt: skip

log = logging.getLogger(__name__)


class Animator:
    """Three trained networks, chained. `from_config` loads them; the methods are the steps, in order.

    One animator may be used by several threads at a time: nothing of it changes after it was made, and each call gives
    what it gives alone.
    """

    def __init__(
        self,
        config: AnimationConfig,
        device: torch.device,
        *,
        audio2repr: MotionNetwork | None,
        faco: FaceNetwork,
        renderer: RendererNetwork,
    ) -> None:
        """Networks in eval mode, on the device. audio2repr: None where motion comes from a file."""
        self.config, self.device = config, device
        self.audio2repr, self.faco, self.renderer = audio2repr, faco, renderer
        self._checkpoints: dict[str, Path] = {}

    @classmethod
    def from_config(cls, config: AnimationConfig, device: torch.device | str, *, with_motion: bool = True) -> Animator:
        """Load the checkpoints onto a device. Raises `CheckpointError` if one is missing, damaged, of another stage
        or of another representation (rates, units, groups of landmarks).

        with_motion: False leaves stage 1 out, for motion that comes from a file.
        """
        _require(config, AnimationConfig, "config")
        device = torch.device(device)
        stages = config.stages(with_motion=with_motion)
        networks = {stage: _load(stage, config, device) for stage in stages}
        renderer = cast(RendererNetwork, networks["renderer"])
        renderer.config.check_size(config.size)
        animator = cls(
            config,
            device,
            audio2repr=cast(MotionNetwork, networks["audio2repr"]) if with_motion else None,
            faco=cast(FaceNetwork, networks.get("faco", RestingFace())),
            renderer=renderer,
        )
        animator._checkpoints = config.networks(with_motion=with_motion)
        return animator

    def with_config(self, config: AnimationConfig) -> Animator:
        """The same networks under other settings; raises `ConfigError` for settings of other networks."""
        _require(config, AnimationConfig, "config")
        other = [key for key in _LOADED if getattr(config, key) != getattr(self.config, key)]
        if other:
            raise ConfigError(f"{', '.join(other)} decide about the networks: load them with Animator.from_config")
        self.renderer.config.check_size(config.size)
        animator = Animator(config, self.device, audio2repr=self.audio2repr, faco=self.faco, renderer=self.renderer)
        animator._checkpoints = self._checkpoints
        return animator

    @classmethod
    def from_pretrained(
        cls, name: Path | str, device: torch.device | str = "auto", *, revision: str | None = None,
        download: bool = False,
    ) -> Animator:  # fmt: skip
        """Load a folder that `moda convert` or `moda.hub.save_pretrained` wrote, or OWNER/NAME of the Hub.

        Nothing is fetched without `download`. Raises `CheckpointError`, `ConfigError`.
        """
        config = load_pretrained(name, revision=revision, download=download)
        return cls.from_config(config, choose_device() if device == "auto" else device)

    def motion(self, audio: Any, portrait: Portrait, seed: int = 0, *, sample_rate: int = SAMPLE_RATE) -> Motion:
        """Audio to smoothed motion at the configured frame rate.

        audio: (N,) or with channels, of any usual type (`moda.media.in_memory.audio_from_array`), at `sample_rate` Hz.
        The noise is drawn once for the clip from `seed`, on the CPU, so that neighbouring windows
        agree and every device draws the same. Raises `ModaError` for arguments that cannot be used.
        """
        wave = audio_from_array(audio, sample_rate)
        _require(portrait, Portrait, "portrait", "make_portrait makes one")
        frames = frames_of(len(wave))
        network = self.audio2repr
        if network is None:
            raise ConfigError("this animator was loaded without stage 1 (with_motion=False), it makes no motion")
        generator, latent = _generator(seed), network.latent_dim
        noise = torch.randn(frames, latent, generator=generator).to(self.device) if latent else None
        subject = self._subject(portrait)
        recording = network.listen(torch.from_numpy(wave).to(self.device))

        def predict(start: int, stop: int) -> dict[str, Tensor]:
            piece = torch.from_numpy(_cut(wave, samples_at(start), samples_at(stop))).to(self.device)
            drawn = None if noise is None else noise[None, start:stop]
            speech = None if recording is None else recording.between(start, stop)
            out = network(piece[None], subject, stop - start, drawn, speech)
            parts = {name: getattr(out, name)[0].float().cpu() for name in _PARTS}
            bad = [name for name, values in parts.items() if not torch.isfinite(values).all()]
            if bad:
                raise CheckpointError(
                    f"stage audio2repr gave values that are not finite for {', '.join(bad)}; train it again"
                )
            return parts

        with torch.inference_mode():
            merged = run_windowed(predict, frames, window=SlidingWindow(network.config.window, network.config.stride))
        parts = {name: values.numpy() for name, values in merged.items()}
        mean = network.lips_mean.cpu().numpy()
        self._finish(parts, mouth_gate(wave, frames, self.config.pauses), mean)
        if self.config.fixations and self.config.gains.eyes:
            parts["eyes"] = Fixations(portrait.subject, seed)(parts["eyes"], parts["head"])
        motion = Motion(parts["lips"], parts["eyes"], parts["head"], parts["torso"])
        return motion.at_fps(self.config.fps, frames_of(len(wave), self.config.fps))

    def _finish(self, parts: dict[str, np.ndarray], gate: np.ndarray, mean: np.ndarray) -> None:
        """Contrast about a mean (40, 3), gate (T,), gains and filters on the parts of a raw motion at 25 fps, in place.

        A stretch at a time, with as many frames around it as the filters see, so that an hour needs no
        second copy of its motion.
        """
        gains, smoothing, frames = self.config.gains, self.config.smoothing, len(gate)
        reach = _reach(max(to_dict(smoothing).values()))
        behind = {name: values[:0].copy() for name, values in parts.items()}  # raw frames before the stretch
        for start in range(0, frames, _FILTER_FRAMES):
            stop = min(start + _FILTER_FRAMES, frames)
            first = start - len(behind["lips"])
            raw = {name: np.concatenate((behind[name], parts[name][start : stop + reach])) for name in _PARTS}
            behind = {name: values[max(0, stop - reach - first) : stop - first] for name, values in raw.items()}
            shaped = with_contrast(raw["lips"], self.config.lip_contrast, mean)
            lips = shaped * gate[first : stop + reach, None, None]
            motion = Motion(lips, raw["eyes"], raw["head"], raw["torso"])
            done = smooth_motion(motion.scaled(gains.lips, gains.eyes, gains.head, gains.torso), smoothing)
            for name in _PARTS:
                parts[name][start:stop] = getattr(done, name)[start - first : stop - first]

    def landmarks(self, motion: Motion, portrait: Portrait) -> tuple[np.ndarray, np.ndarray]:
        """Motion to face (T, 478, 3) and torso (T, 18, 3), float32 pixels of the square frame: 21 MB a minute."""
        face = np.empty((len(motion), N_LANDMARKS, 3), np.float32)
        torso = np.empty((len(motion), N_TORSO, 3), np.float32)
        start = 0
        for face_part, torso_part in self.landmark_parts(motion, portrait):
            part = slice(start, start + len(face_part))
            face[part], torso[part], start = face_part, torso_part, start + len(face_part)
        return face, torso

    def landmark_parts(self, motion: Motion, portrait: Portrait) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`landmarks` in parts of some seconds, one after the other: memory does not grow with the motion."""
        _require_finite(motion)
        _require(portrait, Portrait, "portrait", "make_portrait makes one")
        if eyes_closed(portrait.subject):
            motion = motion.scaled(eyes=0.0)  # what is behind the lids is not known
        size = self.config.batch * max(1, _CHUNK_FRAMES // self.config.batch)  # whole batches, for `frames`
        sigma = self.config.smoothing.face * motion.fps / FPS
        reach = _reach(sigma)
        for start in range(0, len(motion), size):
            part = slice(start, start + size)
            first = max(0, start - reach)
            around = slice(first, start + size + reach)
            offsets = self._offsets(motion.lips[around], motion.eyes[around], portrait)
            if not np.isfinite(offsets).all():
                raise CheckpointError("stage faco gave values that are not finite; train it again")
            if sigma:
                offsets[:, OTHERS] = gaussian(offsets[:, OTHERS], sigma)
            face = portrait.subject + offsets[start - first :][:size]
            placed = to_image(face, apply_head(portrait.pose, motion.head[part]))
            yield placed.astype(np.float32), (portrait.torso + motion.torso[part]).astype(np.float32)

    def _offsets(self, lips: np.ndarray, eyes: np.ndarray, portrait: Portrait) -> np.ndarray:
        """Stage 2, frame by frame: lips and eyes -> offsets of the whole face (T, 478, 3) from the subject's mesh."""
        groups = [torch.from_numpy(np.asarray(part, np.float32))[None].to(self.device) for part in (lips, eyes)]
        with torch.inference_mode():
            offsets = self.faco(groups[0], groups[1], self._subject(portrait))[0]
        return offsets.float().cpu().numpy()

    def frames(self, motion: Motion, portrait: Portrait) -> Iterator[np.ndarray]:
        """Yield the frames of a motion, (size, size, 3) uint8 RGB, computed a few batches ahead of what is asked for.

        Memory does not grow with the motion's length.
        """
        _require(portrait, Portrait, "portrait", "make_portrait makes one")
        session = self.renderer.open(portrait, self.device, self.config.size)
        for frames in session.stream(self._batches(motion, portrait)):
            yield from frames

    def render(self, face: np.ndarray, torso: np.ndarray, portrait: Portrait) -> Iterator[np.ndarray]:
        """Yield the frames of landmarks of one's own, as `landmarks` makes them: face (T, 478, 3), torso (T, 18, 3)."""
        _require(portrait, Portrait, "portrait", "make_portrait makes one")
        require_array("face", face, (len(face), N_LANDMARKS, 3), finite=True)
        require_array("torso", torso, (len(face), N_TORSO, 3), finite=True)
        starts = range(0, len(face), self.config.batch)
        parts = [(slice(start, start + self.config.batch), start) for start in starts]
        session = self.renderer.open(portrait, self.device, self.config.size)
        for frames in session.stream((face[part], torso[part], start) for part, start in parts):
            yield from frames

    def write(
        self, path: Path | str, motion: Motion, portrait: Portrait, audio: Path | str | None = None, *,
        seed: int | None = None, consent: str | None = None,
    ) -> Path:  # fmt: skip
        """Render a motion into an MP4, with the audio of a file beside it; the file appears whole or not at all.

        The motion should be at the configured frame rate, as `motion` makes it. seed, consent: what the video's record
        (`moda.provenance`) states beside the networks. Raises `OutputError`, `MediaError`.
        """
        if motion.fps != self.config.fps:
            raise DataError(f"the motion has {motion.fps:g} frames a second, wanted {self.config.fps:g}: Motion.at_fps")
        config, inputs = self.config, {} if audio is None else {"audio": Path(audio)}
        if audio is not None:
            require_file(Path(audio), "audio file")
        metadata = tags(record_of(config, self._checkpoints, seed=seed, inputs=inputs, consent=consent))
        with VideoWriter(
            path, config.size, config.fps, audio, crf=config.crf, preset=config.preset, metadata=metadata
        ) as writer:
            for frame in self.frames(motion, portrait):
                writer.write(frame)
        return Path(path)

    def _batches(self, motion: Motion, portrait: Portrait) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Face, torso and number of the first frame of each batch."""
        done = 0
        for face, torso in self.landmark_parts(motion, portrait):
            for start in range(0, len(face), self.config.batch):
                batch = slice(start, start + self.config.batch)
                yield face[batch], torso[batch], done + start
            done += len(face)

    def _subject(self, portrait: Portrait) -> Tensor:
        return torch.from_numpy(np.asarray(portrait.subject, np.float32))[None].to(self.device)


def _require(value: object, kind: type, name: str, hint: str = "") -> None:
    if not isinstance(value, kind):
        raise DataError(f"{name} is a {type(value).__name__}, wanted {kind.__name__}{f' ({hint})' if hint else ''}")


def _require_finite(motion: Motion) -> None:
    _require(motion, Motion, "motion", "Animator.motion makes one, Motion.load reads one")
    for name in _PARTS:
        if not np.isfinite(getattr(motion, name)).all():
            raise DataError(f"the motion's {name} holds values that are not finite (NaN or infinite); make it again")


def _generator(seed: int) -> torch.Generator:
    """A generator of random numbers on the CPU; raises `ConfigError` for what is no seed."""
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and -(2**63) <= seed < 2**64:
        return torch.Generator().manual_seed(int(seed))
    raise ConfigError(f"seed is {seed!r}, wanted a whole number from -2^63 to 2^64 - 1")


def fit_motion(motion: Motion, fps: float, samples: int) -> Motion:
    """A motion read from a file, at `fps`, for audio of `samples`; raises `DataError` if it is of another length."""
    _require_finite(motion)
    seconds, wanted = len(motion) / motion.fps, samples / SAMPLE_RATE
    if abs(seconds - wanted) > 1.5 / min(motion.fps, fps):
        raise DataError(
            f"the motion lasts {seconds:.2f} s and the audio {wanted:.2f} s; give the audio it was made from"
        )
    return motion.at_fps(fps, frames_of(samples, fps))


def _reach(sigma: float) -> int:
    """Frames on either side that a filter of width `sigma` sees: `smoothing.gaussian` cuts off at 4 sigma."""
    return math.ceil(4 * sigma) + 1 if sigma else 0


def _cut(wave: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Samples [start, stop) of an audio recording, float32; zeros past its end (the last frame may be cut short)."""
    piece = np.zeros(stop - start, np.float32)
    found = wave[start:stop]
    piece[: len(found)] = found
    return piece


def load_stage(stage: str, config: AnimationConfig | None = None) -> nn.Module:
    """One network of a configuration (default: those that ship) on the CPU; raises `CheckpointError`."""
    return _load(stage, config or AnimationConfig(), torch.device("cpu"))


def _load(stage: str, config: AnimationConfig, device: torch.device) -> nn.Module:
    path = config.network(stage)
    loaded = checkpoint.load(path, stage=stage, map_location="cpu")
    changes: dict[str, Any] = {}
    if checkpoint.section(loaded, "network", source=str(path)).get("kind") == "flow":
        flow = {"steps": config.flow_steps, "turning_degrees": config.liveliness}
        changes = {"flow": {name: value for name, value in flow.items() if value is not None}}
    network = load_network(loaded, changes, source=str(path))
    return network.to(device).eval()

"""Audio and portrait to frames: the only file that knows the order of the three networks.

    wave -> audio2repr, by windows -> Motion -> smoothing -> FaCo-Net -> face and torso -> renderer -> frames

Dimension letters: B batch, N audio samples, T frames, Z latent channels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from moda.animation import AnimationConfig, CheckpointPaths, GainConfig
from moda.device import choose_device, one_thread
from moda.errors import CheckpointError, ConfigError, DataError
from moda.geometry import apply_head, to_image
from moda.hub import load_pretrained
from moda.landmarks import N_LANDMARKS, N_TORSO, OTHERS
from moda.lips import mouth_gate, with_contrast
from moda.media.audio import MIN_SECONDS
from moda.media.in_memory import audio_from_array
from moda.media.track import MAX_SECONDS
from moda.media.video_writer import VideoWriter
from moda.networks import FaceNetwork, MotionNetwork, RendererNetwork, RenderSession
from moda.provenance import record_of, tags
from moda.reading import require_file
from moda.representation import FPS, PARTS, SAMPLE_RATE, Motion, Portrait, frames_of, require_array
from moda.smoothing import gaussian
from moda.stages.animation import load_stage
from moda.stages.faco.network import RestingFace
from moda.streaming.frames import FrameStream
from moda.streaming.motion import MotionStream, stream_delay
from moda.streaming.shaping import join
from moda.streaming.whole import filter_reach, whole_motion
from moda.tracking.checks import eyes_closed

_CHUNK_FRAMES = 300
"""Frames whose landmarks are computed at once."""
_FACE_FRAMES = 8
"""Frames that stage 2 computes at once on a CPU."""
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
        with one_thread(torch.device("cpu")):  # many small tensors: several threads would only wait for one another
            networks = {stage: load_stage(stage, config).to(device) for stage in stages}
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
        """The same networks under other settings, but for the renderer, which `size` may choose.

        Raises `ConfigError` for settings of other networks.
        """
        _require(config, AnimationConfig, "config")
        other = [key for key in _LOADED if getattr(config, key) != getattr(self.config, key)]
        if other:
            raise ConfigError(f"{', '.join(other)} decide about the networks: load them with Animator.from_config")
        renderer, files = self.renderer, dict(self._checkpoints)
        if "renderer" in files and (wanted := config.network("renderer")) != files["renderer"]:
            renderer = cast(RendererNetwork, load_stage("renderer", config).to(self.device))
            files["renderer"] = wanted
        renderer.config.check_size(config.size)
        animator = Animator(config, self.device, audio2repr=self.audio2repr, faco=self.faco, renderer=renderer)
        animator._checkpoints = files
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
        The noise is drawn frame by frame from `seed`, on the CPU, so that neighbouring windows agree and every device
        draws the same. Raises `ModaError` for arguments that cannot be used.
        """
        wave = audio_from_array(audio, sample_rate)
        _require(portrait, Portrait, "portrait", "make_portrait makes one")
        if self.config.windows == "paper":
            motion = whole_motion(self._stage1(), self._subject(portrait), wave, self.config, self.device, seed)
            return motion.at_fps(self.config.fps, frames_of(len(wave), self.config.fps))
        stream = self.motion_stream(portrait, seed)
        return join([*stream.push(wave), *stream.finish()])

    def motion_stream(self, portrait: Portrait, seed: int = 0) -> MotionStream:
        """Sound that arrives to motion. Raises `ConfigError` where the windows need the whole sound."""
        _require(portrait, Portrait, "portrait", "make_portrait makes one")
        return MotionStream(self._stage1(), self._subject(portrait), self.config, self.device, seed)

    def _stage1(self) -> MotionNetwork:
        if self.audio2repr is None:
            raise ConfigError("this animator was loaded without stage 1 (with_motion=False), it makes no motion")
        return self.audio2repr

    def landmarks(self, motion: Motion, portrait: Portrait) -> tuple[np.ndarray, np.ndarray]:
        """Motion to face (T, 478, 3) and torso (T, 18, 3), float32 pixels of the square frame: 21 MB a minute."""
        face = np.empty((len(motion), N_LANDMARKS, 3), np.float32)
        torso = np.empty((len(motion), N_TORSO, 3), np.float32)
        start = 0
        for face_part, torso_part in self.landmark_parts(motion, portrait):
            part = slice(start, start + len(face_part))
            face[part], torso[part], start = face_part, torso_part, start + len(face_part)
        return face, torso

    def landmark_parts(
        self, motion: Motion, portrait: Portrait, *, first: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`landmarks` in parts of some seconds, one after the other: memory does not grow with the motion.

        first: number of the motion's first frame, where it is a piece of a longer one.
        """
        _require_finite(motion)
        _require(portrait, Portrait, "portrait", "make_portrait makes one")
        if eyes_closed(portrait.subject):
            motion = motion.scaled(eyes=0.0)  # what is behind the lids is not known
        size = self.config.batch * max(1, _CHUNK_FRAMES // self.config.batch)  # whole batches, for `frames`
        sigma = self.config.smoothing.face * motion.fps / FPS
        reach = filter_reach(sigma)
        for start in range(0, len(motion), size):
            part = slice(start, start + size)
            begin = max(0, start - reach)
            around = slice(begin, start + size + reach)
            offsets = self._offsets(motion.lips[around], motion.eyes[around], portrait, first + begin)
            if not np.isfinite(offsets).all():
                raise CheckpointError("stage faco gave values that are not finite; train it again")
            if sigma:
                offsets[:, OTHERS] = gaussian(offsets[:, OTHERS], sigma)
            face = portrait.subject + offsets[start - begin :][:size]
            placed = to_image(face, apply_head(portrait.pose, motion.head[part]))
            yield placed.astype(np.float32), (portrait.torso + motion.torso[part]).astype(np.float32)

    def _offsets(self, lips: np.ndarray, eyes: np.ndarray, portrait: Portrait, first: int) -> np.ndarray:
        """Stage 2, frame by frame: lips and eyes -> offsets of the whole face (T, 478, 3) from the subject's mesh.

        first: number of the first frame. On a CPU the bits of a frame depend on how many are computed at once and on
        its place among them, so they are computed in blocks that lie at fixed frames.
        """
        subject, count = self._subject(portrait), len(lips)
        block = _FACE_FRAMES if self.device.type == "cpu" else max(1, count)
        before = first % block if self.device.type == "cpu" else 0
        after = -(before + count) % block
        padding = ((before, after), (0, 0), (0, 0))
        given = [torch.from_numpy(np.pad(np.asarray(part, np.float32), padding)) for part in (lips, eyes)]
        found = []
        with torch.inference_mode(), one_thread(self.device):
            for start in range(0, before + count, block):
                some_lips, some_eyes = (part[None, start : start + block].to(self.device) for part in given)
                found.append(self.faco(some_lips, some_eyes, subject)[0].float().cpu().numpy())
        return np.concatenate(found)[before : before + count]

    def open_portrait(self, portrait: Portrait) -> RenderSession:
        """What of the frames depends on the portrait alone, computed once, for `frames`."""
        _require(portrait, Portrait, "portrait", "make_portrait makes one")
        with one_thread(self.device):
            return self.renderer.open(portrait, self.device, self.config.size)

    def frames(self, motion: Motion, portrait: Portrait, session: RenderSession | None = None) -> Iterator[np.ndarray]:
        """Yield the frames of a motion, (size, size, 3) uint8 RGB, computed a few batches ahead of what is asked for.

        session: the portrait's, if `open_portrait` was called before. Memory does not grow with the motion's length.
        """
        session = session or self.open_portrait(portrait)
        for frames in session.stream(self._batches(motion, portrait)):
            yield from frames

    @property
    def delay(self) -> float:
        """Seconds by which a frame of `stream` may be behind its sound, beside the time that computing takes."""
        return stream_delay(self.config)

    def open_stream(self, portrait: Portrait, seed: int = 0, *, sample_rate: int = SAMPLE_RATE) -> FrameStream:
        """Frames of sound that arrives in pieces: `FrameStream.push`, `finish`. sample_rate: Hz.

        Raises `ConfigError` where the settings need the whole sound (`windows: paper`).
        """
        motion, session = self.motion_stream(portrait, seed), self.open_portrait(portrait)

        def landmarks(piece: Motion, first: int) -> tuple[np.ndarray, np.ndarray]:
            parts = list(self.landmark_parts(piece, portrait, first=first))
            return np.concatenate([face for face, _ in parts]), np.concatenate([torso for _, torso in parts])

        threads = torch.get_num_threads() if self.device.type == "cpu" else 0
        return FrameStream(
            motion, landmarks, session, sample_rate=sample_rate, batch=self.config.batch, threads=threads
        )

    def stream(
        self, chunks: Iterable[Any], portrait: Portrait, seed: int = 0, *, sample_rate: int = SAMPLE_RATE
    ) -> Iterator[np.ndarray]:
        """Yield the frames of sound that arrives, `delay` after it, (size, size, 3) uint8 RGB.

        chunks: arrays as `motion` takes them, or pairs (Hz, array), of any length; what is due by one is yielded before
        the next is asked for, so frames wait while the source does. The frames are those of `frames` for the whole
        sound. Memory does not grow. Raises `ModaError`.
        """
        with self.open_stream(portrait, seed, sample_rate=sample_rate) as opened:
            for chunk in chunks:
                yield from opened.each(chunk)
            yield from opened.rest()

    def idle(self, seconds: float, portrait: Portrait, seed: int = 0) -> Motion:
        """The motion of a person who does not speak for so long: who breathes, blinks and looks, with closed lips."""
        if not MIN_SECONDS <= seconds <= MAX_SECONDS:
            raise ConfigError(f"seconds is {seconds!r}, wanted {MIN_SECONDS} to {MAX_SECONDS:g}")
        return self.motion(np.zeros(round(seconds * SAMPLE_RATE), np.float32), portrait, seed)

    def render(self, face: np.ndarray, torso: np.ndarray, portrait: Portrait) -> Iterator[np.ndarray]:
        """Yield the frames of landmarks of one's own, as `landmarks` makes them: face (T, 478, 3), torso (T, 18, 3)."""
        session = self.open_portrait(portrait)
        require_array("face", face, (len(face), N_LANDMARKS, 3), finite=True)
        require_array("torso", torso, (len(face), N_TORSO, 3), finite=True)
        starts = range(0, len(face), self.config.batch)
        parts = [(slice(start, start + self.config.batch), start) for start in starts]
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
    for name in PARTS:
        if not np.isfinite(getattr(motion, name)).all():
            raise DataError(f"the motion's {name} holds values that are not finite (NaN or infinite); make it again")


def fit_motion(motion: Motion, fps: float, samples: int) -> Motion:
    """A motion read from a file, at `fps`, for audio of `samples`; raises `DataError` if it is of another length."""
    _require_finite(motion)
    seconds, wanted = len(motion) / motion.fps, samples / SAMPLE_RATE
    if abs(seconds - wanted) > 1.5 / min(motion.fps, fps):
        raise DataError(
            f"the motion lasts {seconds:.2f} s and the audio {wanted:.2f} s; give the audio it was made from"
        )
    return motion.at_fps(fps, frames_of(samples, fps))

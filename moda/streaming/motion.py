"""Sound that arrives in pieces to motion, by `moda.windows.StreamWindows`.

What comes out does not depend on the pieces: every window has its place in time, and is computed when the sound that it
hears is there, or when the sound has ended. Dimension letters: N audio samples, T frames, Z latent channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from moda.animation import AnimationConfig
from moda.audio_features import frame_power
from moda.device import one_thread, random_generator
from moda.errors import ConfigError
from moda.lips import MouthGate
from moda.networks import MotionNetwork
from moda.representation import FPS, PARTS, SAMPLE_RATE, SHAPES, Motion, frames_of, interpolate, samples_at
from moda.streaming.shaping import cut, finite_parts, fixations_of, join, liveliness_of, motion_of, shaped
from moda.streaming.tail import Tail
from moda.windows import STREAM_WINDOWS, StreamWindows

_NOISE_FRAMES = 16
"""Frames whose noise is drawn at once. torch draws 16 numbers at a time, so these blocks are what one draw for the
whole clip gives."""


def stream_windows(config: AnimationConfig) -> StreamWindows:
    """The windows of a configuration; raises `ConfigError` where they need the whole sound."""
    if config.windows not in STREAM_WINDOWS:
        raise ConfigError(
            f"windows: {config.windows} needs the whole sound; to stream, set windows: stream or low_delay"
        )
    if config.smoothing.face:
        raise ConfigError(
            f"smoothing.face is {config.smoothing.face:g}: a filter after stage 2 cannot be streamed, set 0"
        )
    return STREAM_WINDOWS[config.windows]


def stream_delay(config: AnimationConfig) -> float:
    """Seconds by which a frame may be behind its sound, beside the time that computing takes; raises `ConfigError`."""
    return stream_windows(config).delay / FPS + (0.0 if config.fps == FPS else 1 / FPS)


class MotionStream:
    """Sound goes in by `push`, and the motion that is known by it comes out; `finish` gives the rest. Used once.

    Memory does not grow: about 6 s of sound and features are kept, and the level of a minute's frames.
    """

    def __init__(
        self, network: MotionNetwork, subject: Tensor, config: AnimationConfig, device: torch.device, seed: int
    ) -> None:
        """subject: (1, 478, 3) on the device. Raises `ConfigError`."""
        self._network, self._subject, self._config, self._device = network, subject, config, device
        self._windows = stream_windows(config)
        self._generator = random_generator(seed)
        self._gate = MouthGate(config.pauses, self._windows.look_ahead)
        self._liveliness = liveliness_of(config)
        self._fixations = fixations_of(config, subject, seed)
        self._lips_mean = network.lips_mean.cpu().numpy()
        self._sound = Tail(np.zeros(0, np.float32))
        self._noise = Tail(np.zeros((0, network.latent_dim), np.float32))
        self._features: Tail | None = None
        self._before: Motion | None = None  # of the last window, from the first frame that was not given
        self._heard = self._levels = self._given = 0  # frames
        self._last = motion_of({name: np.zeros((0, *shape), np.float32) for name, shape in SHAPES.items()})
        self._resampled = 0

    def push(self, wave: np.ndarray) -> Iterator[Motion]:
        """Samples (N,) at `SAMPLE_RATE` in -1..1 -> motion at the configured frame rate, a piece a window."""
        for at in range(0, len(wave), SAMPLE_RATE):  # what is kept is copied at each step: keep it short
            self._sound.append(np.asarray(wave[at : at + SAMPLE_RATE], np.float32))
            while samples_at(self._heard + self._windows.step + self._windows.heard_ahead) <= self._sound.stop:
                yield from self._at_rate(self._step(self._heard + self._windows.step, last=False), last=False)

    def finish(self) -> Iterator[Motion]:
        """The rest, after the last sound; the motion is as long as the sound."""
        frames = frames_of(self._sound.stop)
        while self._heard < frames:
            end = min(self._heard + self._windows.step, frames)
            yield from self._at_rate(self._step(end, last=end == frames), last=end == frames)

    @property
    def delay(self) -> float:
        """Seconds by which a frame may be behind its sound, beside the time that computing takes."""
        return stream_delay(self._config)

    @torch.inference_mode()
    def _step(self, end: int, *, last: bool) -> Motion:
        """The window whose last frame is before `end`: the motion that it gives, at 25 fps, perhaps of no frames."""
        windows = self._windows
        with one_thread(self._device):  # else its bits depend on how many threads there are
            self._hear(end)
            first, future = self._first(end), end + windows.future
            while self._noise.stop < future:
                drawn = torch.randn(_NOISE_FRAMES, self._network.latent_dim, generator=self._generator)
                self._noise.append(drawn.numpy())
            speech = None
            if self._features is not None:
                heard = self._features.between(first, end)
                speech = self._on_device(np.pad(heard, ((0, windows.future), (0, 0)), "symmetric"))
            noise = self._on_device(self._noise.between(first, future)) if self._network.latent_dim else None
            sound = self._on_device(self._sound_until(first, future, end + windows.heard_ahead))
            parts = finite_parts(self._network(sound, self._subject, future - first, noise, speech))
        arrays = {name: values.numpy() for name, values in parts.items()}
        made = shaped(arrays, None, self._lips_mean, self._config)
        known = max(self._levels, end if last else end + windows.heard_ahead - 1)
        stop = max(self._given, end if last else end - windows.held_back)
        gate = self._gate.push(self._power(known), last=last)[: stop - self._given]
        motion = self._joined(made, first, stop, gate)
        self._before = cut(made, stop - first)
        self._heard, self._given = end, stop
        self._forget()
        return motion

    def _hear(self, end: int) -> None:
        """The speech encoder's features of the frames before `end`."""
        step, ahead = self._windows.step, self._windows.heard_ahead
        stop = samples_at(self._heard + step + ahead)  # a step that the end cuts short hears silence
        samples = self._network.heard_samples
        if not samples:
            return
        window = torch.from_numpy(self._sound.between(stop - samples, stop)).to(self._device)
        heard = self._network.hear(window, step, ahead)[0, : end - self._heard].float().cpu().numpy()
        if self._features is None:
            self._features = Tail(heard[:0])
        self._features.append(heard)

    def _joined(self, made: Motion, first: int, stop: int, gate: np.ndarray) -> Motion:
        """Frames from the last that was given to `stop`, of the window that begins at `first`: lips go over from the
        window before within the frames that it heard, the other parts within a whole step; gate of the lips.
        """
        parts = {name: getattr(made, name)[self._given - first : stop - first].copy() for name in PARTS}
        if self._before is not None:
            for name, values in parts.items():
                before = getattr(self._before, name)
                frames = min(len(values), self._windows.held_back) if name == "lips" else min(len(values), len(before))
                share = (np.arange(1, frames + 1, dtype=np.float32) / (frames + 1)).reshape(
                    -1, *[1] * (values.ndim - 1)
                )
                values[:frames] = before[:frames] + share * (values[:frames] - before[:frames])
        parts["lips"] *= gate[:, None, None]
        if self._liveliness is not None:
            parts["head"], parts["torso"] = self._liveliness(parts["head"], parts["torso"], gate)
        if self._fixations is not None:
            parts["eyes"] = self._fixations(parts["eyes"], parts["head"])
        return motion_of(parts)

    def _power(self, known: int) -> np.ndarray:
        """Power of the frames before `known` that the gate has not been given."""
        around = self._sound.between(samples_at(self._levels - 1), samples_at(known + 1))
        power = frame_power(around, known - self._levels + 2)[1:-1]
        self._levels = known
        return power

    def _sound_until(self, first: int, stop: int, known: int) -> np.ndarray:
        """Samples of frames [first, stop), those from `known` on silent whether or not they are there."""
        piece = self._sound.between(samples_at(first), samples_at(stop))
        piece[samples_at(known) - samples_at(first) :] = 0
        return piece

    def _first(self, end: int) -> int:
        """First frame of the window whose sound ends before frame `end`."""
        return self._windows.first(end, self._network.config.period)

    def _forget(self) -> None:
        """Drop what no later window sees."""
        windows = self._windows
        first = self._first(self._heard)
        hears = samples_at(self._heard + windows.heard_ahead) - self._network.heard_samples
        self._sound.forget(min(samples_at(min(first, self._levels - 1)), hears))
        self._noise.forget(first)
        if self._features is not None:
            self._features.forget(first)

    def _at_rate(self, motion: Motion, *, last: bool) -> Iterator[Motion]:
        """The motion at the configured frame rate, as `Motion.at_fps` makes it of the whole."""
        fps = self._config.fps
        if fps != FPS:
            known = self._given  # 25 fps frames
            begin = known - len(motion) - len(self._last)
            joined = join([self._last, motion])
            stop = frames_of(self._sound.stop, fps) if last else max(self._resampled, int((known - 1) * fps / FPS))
            at = np.arange(self._resampled, stop) * FPS / fps
            kept = max(0, int(stop * FPS / fps) - 1 - begin)
            self._last, self._resampled = cut(joined, kept), stop
            motion = motion_of({name: interpolate(getattr(joined, name), at, first=begin) for name in PARTS}, fps)
        if len(motion):
            yield motion

    def _on_device(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values)[None].to(self._device)

"""Sound that arrives in pieces, of any type and rate: each piece becomes what `audio_from_array` makes of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from moda.errors import MediaError
from moda.media.audio import FILTER_CROSSINGS, resample
from moda.media.in_memory import channels_from_array, checked_rate
from moda.representation import SAMPLE_RATE

MAX_PEAK = 4.0
"""Floats beyond this are no sound of -1 .. 1: whole numbers, most likely, that were not divided by their full scale."""


class IncomingAudio:
    """Pieces of sound to float32 samples at `SAMPLE_RATE`, mono. The rate and the number of channels may change.

    Channels are averaged, also those of opposite sign, for which a whole file takes the louder one. Floats a little
    beyond 1 stay as they are, where those of a file are scaled.
    """

    def __init__(self, sample_rate: Any = SAMPLE_RATE) -> None:
        """sample_rate: Hz of pieces that state none. Raises `MediaError`."""
        self._rate = checked_rate(sample_rate)
        self._resamplers: list[_Resampler] = []
        self._form: tuple[int, int] | None = None
        self._pieces = 0

    def push(self, piece: Any) -> np.ndarray:
        """The next samples (N,), perhaps none. piece: (N,), (N, C) or (C, N), or a pair of its rate and these.

        Raises `MediaError` naming the piece if it cannot be used; what came before is kept, and others may follow.
        """
        pair = isinstance(piece, tuple) and len(piece) == 2
        name = f"piece {self._pieces + 1} of the sound"
        rate = checked_rate(piece[0]) if pair else self._rate
        values = piece[1] if pair else piece
        if not hasattr(values, "detach"):
            values = np.asarray(values)
        if len(values.shape) and 0 in values.shape:
            self._pieces += 1
            return np.zeros(0, np.float32)
        channels = channels_from_array(values, name)
        if len(channels) > 2:
            channels = channels.mean(axis=0, dtype=np.float64, keepdims=True)
        peak = float(np.abs(channels).max())
        if peak > MAX_PEAK:
            raise MediaError(f"{name} reaches {peak:.3g}, wanted floats of -1 .. 1 or an array of integers")
        self._pieces += 1
        ended = np.zeros(0, np.float32)
        if self._form != (rate, len(channels)):
            ended = self.finish()
            self._form, self._resamplers = (rate, len(channels)), [_Resampler(rate) for _ in channels]
        pairs = zip(self._resamplers, channels, strict=True)
        return np.concatenate((ended, _mean([resampler.push(values) for resampler, values in pairs])))

    def finish(self) -> np.ndarray:
        """The samples that the filter still holds; then a new sound may begin."""
        rest = [resampler.finish() for resampler in self._resamplers]
        self._resamplers, self._form = [], None
        return _mean(rest) if rest else np.zeros(0, np.float32)


def _mean(channels: list[np.ndarray]) -> np.ndarray:
    return channels[0] if len(channels) == 1 else np.stack(channels).mean(axis=0)


class _Resampler:
    """`moda.media.audio.resample` of samples that arrive, bit by bit the same."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        common = int(np.gcd(rate, SAMPLE_RATE))
        self._up, self._down = SAMPLE_RATE // common, rate // common
        reach = -(-FILTER_CROSSINGS * max(self._up, self._down) // self._up) + 2
        self._reach = reach
        self._kept = np.zeros(0, np.float32)
        self._first = self._heard = self._given = 0
        """Source samples: place of the first kept one, and their number; samples given."""

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Samples (N,) -> those at `SAMPLE_RATE` whose filter lies within what has come."""
        self._heard += len(samples)
        if self._up == self._down:
            return samples.astype(np.float32)
        self._kept = np.concatenate((self._kept, samples.astype(np.float32)))
        return self._until(max(self._given, (self._heard - self._reach) * self._up // self._down))

    def finish(self) -> np.ndarray:
        if self._up == self._down:
            return np.zeros(0, np.float32)
        return self._until(-(-self._heard * self._up // self._down))

    def _until(self, stop: int) -> np.ndarray:
        """Samples from the last that was given to `stop`."""
        if stop <= self._given:
            return np.zeros(0, np.float32)
        made = resample(self._kept, self._rate)
        first = self._first // self._down * self._up  # the kept ones begin at a whole period of both rates
        found = made[self._given - first : stop - first]
        self._given = stop
        needed = max(0, (stop * self._down // self._up - self._reach) // self._down * self._down)
        self._kept, self._first = self._kept[needed - self._first :].copy(), needed
        return found

"""Estimator of the offset between picture and audio, in frames, by the landmark network; preparation corrects it.

The network of `moda.nn.landmark_sync` gives every frame of lips and of audio a direction; for each lag of
-15 .. 15 frames their mean similarity over the clip is one point of a curve. The offset is where the
curve is highest. How far that peak stands above the rest of the curve is the confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from moda import checkpoint as checkpoints
from moda.audio_features import frame_power
from moda.config import parse
from moda.errors import CheckpointError, DataError
from moda.landmarks import LIPS, N_LANDMARKS
from moda.locations import SYNC_NETWORK, command, locate, shipped
from moda.nn.building import building
from moda.nn.landmark_sync import MARGIN_FRAMES, LipSyncConfig, LipSyncNet, lag_curves, whole_fields
from moda.representation import samples_at

STAGE = "sync"
SHIPPED = shipped(SYNC_NETWORK)
_MAX_VALUES = 10_000_000
MAX_OFFSET_FRAMES = 15
"""Offsets looked at: -MAX_OFFSET_FRAMES .. MAX_OFFSET_FRAMES frames."""
CHUNK_FRAMES = 750
"""Frames that go through the network at once: memory does not grow with the clip."""
MIN_SPEECH_FRAMES = 20
"""Frames of speech with a tracked face that a point of the curve needs to count."""
PEAK_HALF_WIDTH_FRAMES = 3
"""Frames about the peak that belong to it: the rest of the curve is what it must stand out from."""
MAX_CONFIDENCE_FRAMES = 500
"""More frames than this add nothing to the confidence: the noise of the mean is gone."""
MIN_SETTLED_CONFIDENCE = 1.2
"""Confidence from which an offset is settled."""


@dataclass(frozen=True)
class AvOffset:
    """An estimated offset.

    frames: by which the picture comes late, 25 fps, to a fraction of a frame; nan where nothing could be compared.
    confidence: how far the peak stands above the highest point that is not near it, times the root of the frames
        behind it (at most MAX_CONFIDENCE_FRAMES): the noise of a mean falls with that root. 0 and more.
    curve: (31,) mean similarity when the picture comes -15 .. 15 frames late; nan where too little could be compared.
    settled: confidence is at least `MIN_SETTLED_CONFIDENCE` and the peak is no end of the curve.
    """

    frames: float
    confidence: float
    curve: np.ndarray
    settled: bool


class LipSync:
    """The estimator; `LipSync.load()` reads the shipped network."""

    def __init__(self, network: LipSyncNet) -> None:
        self.network = network.eval()

    @classmethod
    def load(cls, path: Path | None = None) -> LipSync:
        """Read a checkpoint of stage "sync" (None: the shipped one). Raises `CheckpointError` if it is not there."""
        source = SHIPPED if path is None else locate(path)
        if not source.is_file():
            raise CheckpointError(
                f"no checkpoint of the offset estimator at {source}; install moda again, or train one: "
                f"{command('train')} --config default/sync"
            )
        checkpoint = checkpoints.load(source, stage=STAGE)
        settings = checkpoints.section(checkpoint, "network", source=str(source))
        config = parse(LipSyncConfig, settings, source=str(source), section="network")
        with building(str(source), values=_MAX_VALUES, error=CheckpointError):
            network = LipSyncNet(config)
        checkpoints.load_weights(network, checkpoint.weights, source=str(source))
        return cls(network)

    def estimate(self, canonical: np.ndarray, tracked: np.ndarray, wave: np.ndarray) -> AvOffset:
        """Offset of a clip: canonical (T, 478, 3), tracked (T,) bool, wave (N,) at 16 kHz, about T frames long.

        Raises `DataError` for arrays of other shapes. A clip too short or without speech gives an unsettled one.
        """
        frames = len(canonical)
        if canonical.shape != (frames, N_LANDMARKS, 3) or tracked.shape != (frames,) or wave.ndim != 1:
            raise DataError(
                f"offset: got canonical {canonical.shape}, tracked {tracked.shape}, wave {wave.shape}; "
                f"wanted (T, {N_LANDMARKS}, 3), (T,) and (N,)"
            )
        lips = np.ascontiguousarray(canonical[:, list(LIPS)], dtype=np.float32)
        sums, support = np.zeros(2 * MAX_OFFSET_FRAMES + 1), np.zeros(2 * MAX_OFFSET_FRAMES + 1)
        chunks = max(1, round(frames / CHUNK_FRAMES))
        edges = [round(i * frames / chunks) for i in range(chunks + 1)]
        speech = speech_frames(wave, frames)
        for first, last in pairwise(edges):
            if last - first <= 2 * MARGIN_FRAMES:
                continue
            audio = np.zeros(samples_at(last) - samples_at(first), np.float32)
            piece = wave[samples_at(first) : samples_at(last)]
            audio[: len(piece)] = piece
            curve, total = self._compare(lips[first:last], tracked[first:last], audio, speech[first:last])
            sums += curve * total
            support += total
        return read_curve(np.where(support >= MIN_SPEECH_FRAMES, sums / np.maximum(support, 1e-6), np.nan), support)

    @torch.inference_mode()
    def _compare(
        self, lips: np.ndarray, tracked: np.ndarray, wave: np.ndarray, speech: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Curve (31,) of a chunk, and the frames (31,) behind each point."""
        seen = torch.from_numpy(tracked.astype(bool))[None]
        lip_side = self.network.lips(torch.from_numpy(lips)[None], seen)
        audio_side = self.network.audio(torch.from_numpy(wave)[None], len(lips))
        audible = torch.from_numpy(speech[MARGIN_FRAMES:-MARGIN_FRAMES])[None]
        curve, total = lag_curves(lip_side, audio_side, whole_fields(seen), audible, MAX_OFFSET_FRAMES)
        return curve[0].double().numpy(), total[0].double().numpy()


def speech_frames(wave: np.ndarray, frames: int) -> np.ndarray:
    """(N,) -> (T,) bool: is there audio within 30 dB of the clip's loud frames, here or within 3 frames?"""
    power = frame_power(wave, frames)
    loud = np.quantile(power, 0.95)
    voiced = (power > loud * 1e-3) & (power > 1e-8)
    return np.asarray(np.convolve(voiced, np.ones(7), mode="same") > 0.5)


def read_curve(curve: np.ndarray, support: np.ndarray) -> AvOffset:
    """The offset that a curve (31,) shows, with the frames (31,) behind each of its points.

    A parabola through the peak and its neighbours gives the fraction.
    """
    known = np.isfinite(curve)
    if known.sum() < MAX_OFFSET_FRAMES:
        return AvOffset(float("nan"), 0.0, curve, False)
    peak = int(np.nanargmax(curve))
    lags = np.arange(-MAX_OFFSET_FRAMES, MAX_OFFSET_FRAMES + 1)
    rest = curve[known & (np.abs(lags - lags[peak]) > PEAK_HALF_WIDTH_FRAMES)]
    height = float(curve[peak] - rest.max()) if len(rest) else 0.0
    confidence = height * min(float(support[peak]), MAX_CONFIDENCE_FRAMES) ** 0.5
    inside = 0 < peak < len(curve) - 1 and bool(known[peak - 1] and known[peak + 1])
    fraction = 0.0
    if inside:
        left, top, right = curve[peak - 1 : peak + 2]
        bend = left - 2 * top + right
        fraction = float(0.5 * (left - right) / bend) if bend < 0 else 0.0
    return AvOffset(float(lags[peak]) + fraction, confidence, curve, inside and confidence >= MIN_SETTLED_CONFIDENCE)

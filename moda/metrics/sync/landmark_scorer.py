"""Sync scores of a clip by this project's network on lip landmarks (`moda.nn.landmark_sync`, sync.pt).

It has SyncNet's form, two towers trained to bring lips and audio of one moment together, and its curve is read as
SyncNet's is; but its embeddings are unit vectors, so a distance is sqrt(2 - 2 cos): 0 to 2, near 1.41 for unrelated
ones. Its scores are comparable with each other and with nothing printed elsewhere.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from moda.av_offset import CHUNK_FRAMES, LipSync, speech_frames
from moda.landmarks import LIPS, N_LANDMARKS
from moda.metrics.registry import NotAvailable
from moda.metrics.sync.curve import MAX_OFFSET_FRAMES, SyncScore, masked_curve, read_curve
from moda.nn.landmark_sync import MARGIN_FRAMES, whole_fields
from moda.representation import samples_at

MIN_PAIRS = 20
"""Pairs of embeddings that every offset needs: with 8 frames of margin at either end, a clip of 51 frames has them."""


class LandmarkSyncScorer:
    """The network that ships; raises `CheckpointError` without it."""

    def __init__(self) -> None:
        self.network = LipSync.load().network

    def score(self, canonical: np.ndarray, tracked: np.ndarray, wave: np.ndarray) -> SyncScore | NotAvailable:
        """Score lips against audio: canonical (T, 478, 3), tracked (T,) bool, wave (N,) 16 kHz, the clip's.

        As published, pauses count like speech. Frames without a face, or beyond the audio, do not.
        Raises ValueError for arrays of other shapes.
        """
        frames = len(canonical)
        if canonical.shape != (frames, N_LANDMARKS, 3) or tracked.shape != (frames,) or wave.ndim != 1:
            raise ValueError(f"canonical {canonical.shape}, tracked {tracked.shape}, wave {wave.shape}")
        lips = np.zeros((frames, len(LIPS), 3), np.float32)
        lips[tracked] = canonical[tracked][:, list(LIPS)]
        audio = np.zeros(samples_at(frames), np.float32)
        audio[: len(wave)] = wave[: len(audio)]
        present = np.asarray([samples_at(t + 1) <= len(wave) for t in range(frames)])
        if speech_frames(audio, frames).sum() < MIN_PAIRS:
            return NotAvailable(f"fewer than {MIN_PAIRS} frames with audible speech")
        sums, counts = np.zeros(2 * MAX_OFFSET_FRAMES + 1), np.zeros(2 * MAX_OFFSET_FRAMES + 1)
        # The pieces of the offset estimator: lips are divided by their spread within a piece.
        pieces = max(1, round(frames / CHUNK_FRAMES))
        for first, last in pairwise(round(i * frames / pieces) for i in range(pieces + 1)):
            if last - first > 2 * MARGIN_FRAMES:
                piece = audio[samples_at(first) : samples_at(last)]
                more = self._compare(lips[first:last], tracked[first:last], piece, present[first:last])
                sums, counts = sums + more[0], counts + more[1]
        if counts.min() < MIN_PAIRS:
            return NotAvailable(
                f"too short: {int(counts.min())} frames can be compared at every offset of "
                f"-{MAX_OFFSET_FRAMES} .. {MAX_OFFSET_FRAMES}, wanted {MIN_PAIRS}"
            )
        return read_curve(sums / counts)

    @torch.inference_mode()
    def _compare(
        self, lips: np.ndarray, tracked: np.ndarray, wave: np.ndarray, present: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums and counts (31,) of a piece."""
        seen, audible = (torch.from_numpy(values.astype(bool))[None] for values in (tracked, present))
        lip_side = self.network.lips(torch.from_numpy(lips)[None], seen)[0]
        audio_side = self.network.audio(torch.from_numpy(wave)[None], len(lips))[0]
        return masked_curve(lip_side, audio_side, whole_fields(seen)[0], whole_fields(audible)[0])

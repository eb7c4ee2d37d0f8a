"""Sync scores of a clip by SyncNet as published (`moda.nn.syncnet`), with the user's `syncnet_v2.model`.

Protocol: github.com/joonson/syncnet_python (run_pipeline.py, run_syncnet.py). What differs here: the face is
found by our tracker's landmarks instead of S3FD's box (`moda.imaging.syncnet_crop`), cut from the 512 px square
frame, and not encoded again on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from moda.imaging.syncnet_crop import face_boxes, steady, sync_crops
from moda.metrics.registry import NotAvailable
from moda.metrics.sync.curve import SyncScore, published_curve, read_curve
from moda.nn.mfcc import mfcc
from moda.nn.syncnet import VIDEO_FRAMES, SyncNet
from moda.representation import FRAME, SAMPLE_RATE

SAMPLES_A_FRAME = SAMPLE_RATE // 25
"""Samples of audio per frame of video."""
MIN_TRACK_FRAMES = 100
"""The published pipeline drops a face seen in this many frames or fewer (min_track)."""
MAX_GAP_FRAMES = 25
"""... ends its track when it is missed for longer (num_failed_det),"""
MIN_FACE_PX = 100
"""... and drops one whose box is, on average, this many pixels or smaller (min_face_size)."""


class SyncNetScorer:
    """SyncNet with the weights at `path`; raises `CheckpointError` if they cannot be used."""

    def __init__(self, path: Path | str) -> None:
        self.network = SyncNet.load(path)

    def score(
        self, frames: Iterable[np.ndarray], landmarks: np.ndarray, wave: np.ndarray, side: int = FRAME
    ) -> SyncScore | NotAvailable:
        """Score a clip, or the reason why the published pipeline would not.

        frames: RGB uint8 (512, 512, 3), T of them. landmarks: (T, 478, 3) pixels of these, NaN without a face.
        wave: (N,) 16 kHz. side: of the square frame in the pixels of its file.
        """
        count = min(len(landmarks), len(wave) // SAMPLES_A_FRAME)
        landmarks = landmarks[:count]
        tracked = np.flatnonzero(np.isfinite(landmarks).all(axis=(1, 2)))
        if len(tracked) == 0 or count <= MIN_TRACK_FRAMES:
            return NotAvailable(
                f"{count} frames with picture and audio: SyncNet's pipeline needs more than {MIN_TRACK_FRAMES}"
            )
        gap = int(np.diff(tracked, prepend=-1, append=count).max()) - 1
        if gap > MAX_GAP_FRAMES:
            return NotAvailable(f"no face in {gap} consecutive frames: SyncNet's pipeline allows {MAX_GAP_FRAMES}")
        boxes = face_boxes(landmarks)
        size = 2 * float(boxes[:, 2].mean()) * side / FRAME
        if size <= MIN_FACE_PX:
            return NotAvailable(f"a face of {size:.0f} px: SyncNet's pipeline needs more than {MIN_FACE_PX}")
        windows = count - VIDEO_FRAMES  # one fewer than there are: as published
        faces = sync_crops(islice(frames, windows + VIDEO_FRAMES - 1), steady(boxes))
        picture = self.network.embed_picture(faces)
        cepstra = torch.from_numpy(mfcc(wave[: count * SAMPLES_A_FRAME]))
        audio = self.network.embed_audio(cepstra, windows)
        return read_curve(published_curve(picture, audio))

"""Metrics on pairs of pictures: SSIM and PSNR.

Dimension letters: H W height and width. Pictures are RGB uint8, (H, W, 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice

import numpy as np
from skimage.metrics import structural_similarity

from moda.metrics.registry import ClipPair, NotAvailable, Value, metric

PEAK_GREY_LEVEL = 255.0
"""Largest value of a picture's channel."""
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""
MAX_PSNR_DB = 100.0
"""PSNR of equal pictures, whose ratio is infinite, and the most any picture gets."""
WINDOW_PX, WINDOW_SIGMA_PX = 11, 1.5
"""SSIM's Gaussian window: side and standard deviation (Wang et al. 2004, section III.C)."""

SIDE_PX, FRAME_STEP = 256, 5
"""Side of the pictures, and every how many frames, SSIM and PSNR are computed."""


@metric(
    name="ssim",
    label="SSIM",
    unit="1",
    better="higher",
    digits=3,
    source="Wang et al. 2004",
    needs=("tracks", "frame", "pictures"),
)
def ssim_metric(clip: ClipPair) -> Value:
    """Structural similarity of luma to the true frame (11 x 11 Gaussian window, sigma 1.5), mean over every 5th frame
    of the square frame at 256 px. Means something only for self-driven videos: where the head moves otherwise than
    the true one, as a generated head may, it falls although nothing is wrong.
    """
    return _mean_over_frames(clip, ssim)


@metric(
    name="psnr",
    label="PSNR",
    unit="dB",
    better="higher",
    source="usual definition",
    needs=("tracks", "frame", "pictures"),
)
def signal_to_noise(clip: ClipPair) -> Value:
    """Peak signal-to-noise ratio to the true frame over red, green and blue, mean over every 5th frame of the square
    frame at 256 px; equal frames count 100 dB, the most a frame gets. Means something only for self-driven videos,
    as SSIM.
    """
    return _mean_over_frames(clip, psnr)


def _mean_over_frames(clip: ClipPair, score: Callable[[np.ndarray, np.ndarray], float]) -> Value:
    """Mean of a score of (true, generated) over every 5th frame, at 256 px."""
    pictures = clip.pictures
    assert not isinstance(pictures, NotAvailable)  # they are needed, so they are there
    # All frames are read, as TCM does, so that one decoding serves both.
    pairs = zip(pictures.true(1, SIDE_PX), pictures.generated(1, SIDE_PX), strict=False)
    scores = [score(true, generated) for true, generated in islice(pairs, 0, None, FRAME_STEP)]
    return float(np.mean(scores)) if scores else NotAvailable("no frames")


def luma(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) RGB of 0..255 -> (H, W) float32 luma of 0..255 (BT.601 weights, full range)."""
    return np.asarray(picture, np.float32) @ np.array(LUMA_WEIGHTS, np.float32)


def psnr(true: np.ndarray, generated: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two (H, W, 3) RGB pictures over all channels, dB; at most `MAX_PSNR_DB`."""
    difference = np.asarray(true, np.float32) - np.asarray(generated, np.float32)
    squared = float(np.mean(difference * difference, dtype=np.float64))
    if squared == 0:
        return MAX_PSNR_DB
    return min(MAX_PSNR_DB, 10 * math.log10(PEAK_GREY_LEVEL**2 / squared))


def ssim(true: np.ndarray, generated: np.ndarray) -> float:
    """Structural similarity of the luma of two (H, W, 3) RGB pictures (Wang et al. 2004, equation 13).

    The mean is over pixels whose window lies inside the picture. Raises ValueError for a picture smaller than that.
    """
    one, two = luma(true), luma(generated)
    if one.shape != two.shape or min(one.shape) < WINDOW_PX:
        raise ValueError(
            f"pictures of {one.shape} and {two.shape}: wanted equal ones of at least {WINDOW_PX} px a side"
        )
    if true is generated:
        return 1.0
    similarity = structural_similarity(
        one, two, gaussian_weights=True, sigma=WINDOW_SIGMA_PX, use_sample_covariance=False, data_range=PEAK_GREY_LEVEL
    )
    return float(similarity)

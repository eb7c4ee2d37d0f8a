"""NIQE, the natural image quality evaluator (Mittal, Soundararajan and Bovik 2013), on luma.

A picture's local contrast statistics, fitted by generalised Gaussians in blocks of 96 x 96 at two
scales, are compared with those of pristine photographs by a Mahalanobis-like distance. Where the
paper is silent this follows the authors' published program: luma by BT.601 weights in full range,
edge pixels repeated, fits from a table of shapes 0.2 to 10 in steps of 0.001, products of neighbours
within a block that wrap around, halving by an antialiased cubic (a = -0.5) as MATLAB's `imresize`.

Dimension letters: H W height and width, N blocks, P pixels of a block.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from scipy.ndimage import correlate1d
from scipy.special import gamma

from moda.metrics.image import luma
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.representation import FRAME

BLOCK_SIDE_PX = 96
"""Side of a block at full size, pixels; half of it at the second scale."""
FEATURES = 36
"""18 features a scale: 2 of the contrasts, 4 of each of four products of neighbours."""
MIN_SIDE_PX = 480
"""Smallest side a picture may have: five blocks; fewer make the fit of the picture's own statistics meaningless."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Rows down and columns right to the neighbour of each product."""
FRAME_STEP = 10
"""Every so many frames one is scored."""


@metric(
    name="niqe",
    label="NIQE",
    unit="1",
    better="lower",
    source="Mittal et al. 2013; in the paper's table",
    needs=("tracks", "pictures"),
)
def natural_quality(clip: ClipPair) -> Value:
    """Natural image quality evaluator of the generated video: distance of local contrast statistics, in blocks of
    96 x 96 of luma, from those of pristine photographs; mean over every 10th frame of the square frame at 512 px, or
    at its own size where that is 480 to 511. Needs no true video, and does not know a face from a wall.
    """
    pictures = clip.pictures
    assert not isinstance(pictures, NotAvailable)  # they are needed, so they are there
    side = pictures.source_side[1]
    if side < MIN_SIDE_PX:
        return NotAvailable(f"the generated square is {side} px wide, NIQE needs {MIN_SIDE_PX}")
    side, video = min(side, FRAME), pictures.generated_video
    first, after = pictures.generated_start, pictures.generated_start + pictures.frames
    wanted, known = range(first, after, FRAME_STEP), video.known(f"niqe {side}")
    if not known.keys() >= set(wanted):
        frames = zip(wanted, video.read(first, after, FRAME_STEP, side), strict=False)
        known |= {t: niqe(frame) for t, frame in frames if t not in known}
    scores = np.array([known[t] for t in wanted if t in known])
    scores = scores[np.isfinite(scores)]
    return float(scores.mean()) if len(scores) else NotAvailable("no frame with texture")


class Pristine(NamedTuple):
    """Statistics of pristine photographs: mean (36,), covariance (36, 36); window (7,), one axis of the Gaussian."""

    mean: np.ndarray
    covariance: np.ndarray
    window: np.ndarray


@lru_cache(maxsize=1)
def pristine() -> Pristine:
    """Load the pristine statistics from the package (see package_data/NOTICE)."""
    path = resources.files("moda") / "package_data" / "niqe_pris_params.npz"
    with resources.as_file(path) as file, np.load(file, allow_pickle=False) as data:
        return Pristine(data["mu_pris_param"].ravel(), data["cov_pris_param"], data["gaussian_window"].sum(axis=0))


def niqe(picture: np.ndarray) -> float:
    """NIQE of an (H, W, 3) RGB uint8 picture; lower is better.

    What is left over right and below of whole 96 x 96 blocks is cut off; blocks without any texture
    (a flat background) are left out. NaN if fewer than two blocks have texture. Raises ValueError
    for a picture with a side under `MIN_SIDE_PX`.
    """
    if min(picture.shape[:2]) < MIN_SIDE_PX:
        raise ValueError(f"a picture of {picture.shape[1]}x{picture.shape[0]}: NIQE needs sides of {MIN_SIDE_PX} px")
    features = block_features(luma(picture)).astype(np.float64)
    features = features[np.isfinite(features).all(axis=1)]
    if len(features) < 2:
        return float("nan")
    reference = pristine()
    difference = features.mean(axis=0) - reference.mean
    pooled = (np.cov(features, rowvar=False) + reference.covariance) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(pooled) @ difference))


def block_features(light: np.ndarray) -> np.ndarray:
    """(H, W) luma of 0..255 -> (N, 36) features of its whole blocks; NaN or inf in a block without texture."""
    rows, columns = light.shape[0] // BLOCK_SIDE_PX, light.shape[1] // BLOCK_SIDE_PX
    image = light[: rows * BLOCK_SIDE_PX, : columns * BLOCK_SIDE_PX]
    scales = []
    for side in (BLOCK_SIDE_PX, BLOCK_SIDE_PX // 2):
        if side < BLOCK_SIDE_PX:
            image = halve(image)
        contrast = local_contrast(image)
        blocks = contrast.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
        scales.append(_features(blocks))
    return np.concatenate(scales, axis=1)


def local_contrast(image: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W): difference from the local mean over local deviation plus 1 (equations 1 to 3)."""
    window = pristine().window

    def blur(values: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(values, window, axis=0, mode="nearest"), window, axis=1, mode="nearest")

    mean = blur(image)
    deviation = np.sqrt(np.abs(blur(image * image) - mean * mean))
    return (image - mean) / (deviation + 1)


def _features(blocks: np.ndarray) -> np.ndarray:
    """(N, side, side) local contrasts -> (N, 18) (section II of the paper)."""
    flat = blocks.reshape(len(blocks), -1)
    shape, left, right = fit_generalised_gaussian(flat)
    columns = [shape, (left + right) / 2]
    for down, across in NEIGHBOURS:
        product = (blocks * np.roll(blocks, (down, across), axis=(1, 2))).reshape(len(blocks), -1)
        shape, left, right = fit_generalised_gaussian(product)
        mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
        columns += [shape, mean, left, right]
    return np.stack(columns, axis=1)


@lru_cache(maxsize=1)
def _shape_table() -> tuple[np.ndarray, np.ndarray]:
    """Shapes, and the ratio (mean |x|)^2 / mean x^2 that a generalised Gaussian of each has; both ascending."""
    shapes = np.arange(200, 10001) / 1000
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))


def fit_generalised_gaussian(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit an asymmetric generalised Gaussian to each row by moments (Lasmar et al. 2009).

    samples: (N, P). Returns shape, scale on the left and scale on the right of zero, (N,) each: density
    ~ exp(-(|x| / scale)^shape). NaN where a row has nothing on one side of zero.
    """
    squares = samples * samples
    negative, positive = samples < 0, samples > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.sqrt((squares * negative).sum(axis=1) / negative.sum(axis=1))
        right = np.sqrt((squares * positive).sum(axis=1) / positive.sum(axis=1))
        skew = left / right
        ratio = np.abs(samples).mean(axis=1) ** 2 / squares.mean(axis=1)
        ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shapes, ratios = _shape_table()
    after = np.clip(np.searchsorted(ratios, ratio), 1, len(ratios) - 1)
    nearest = np.where(ratio - ratios[after - 1] <= ratios[after] - ratio, after - 1, after)
    shape = np.where(np.isfinite(ratio), shapes[nearest], np.nan)
    spread = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * spread, right * spread


def halve(image: np.ndarray) -> np.ndarray:
    """(H, W) of even sides -> (H/2, W/2) by a cubic (a = -0.5) stretched to twice its width; edges mirrored."""
    distance = np.abs(np.arange(-3.5, 4)) / 2  # of the 8 pixels around an output pixel's centre, in output pixels
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, far)
    weights /= weights.sum()

    def halve_rows(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, ((3, 3), (0, 0)), mode="symmetric")
        halved = np.zeros_like(values[::2])
        for tap, weight in enumerate(weights.astype(values.dtype)):
            halved += weight * padded[tap : tap + len(values) : 2]
        return halved

    return halve_rows(halve_rows(image).T).T

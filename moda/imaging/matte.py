"""The person cut out of a picture: how much of each pixel is person, in which colour, and the background behind.

The person mask is a few pixels too wide here and too narrow there: a rim of wall goes with the hair, or a lock stays
behind on the wall. What hangs on the mask and stands out from an even background goes with the person: a lock, a
shadow. Around the mask's edge a pixel is a mixture of the person's colour nearby and of the background's;
where the background is smooth and of another colour, the shares follow from the pixel itself. Laid over the
background again the picture is the same; moved, it takes no rim along.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

INNER_SHARE, OUTER_SHARE = 0.015, 0.05
"""The edge reaches so far inside and outside of the mask, as shares of the square's side."""
NARROW_SHARE = 0.012
"""How far the background is filled in around the person where it is not smooth, as a share of that side."""
COLOUR_SIGMA_SHARE = 0.02
"""Reach of the mean that tells the person's colour nearby, as a share of that side."""
SMOOTH_GREY_LEVELS = 4.0
"""A background whose pixels are on average so far from their neighbourhood's mean is not smooth."""
CONTRAST_GREY_LEVELS = 30.0, 80.0
"""Distance of the two colours below which a pixel's shares cannot be told, and from which they can."""
NOISE_SHARE = 0.1
"""A share of the person below this is the background's noise, one above the rest the person's."""
LOCK_REACH_SHARE = 0.15
"""How far a lock may reach from the mask, as a share of the square's side: what goes on, or on
at the picture's border, is a thing behind the person."""
LOCK_GREY_LEVELS = 20.0, 40.0
"""What differs by less from an even background belongs to it, what differs by more to the person."""
MIN_STEP_GREY_LEVELS = 24.0
"""Difference of neighbours at its edge, on average: a glow behind the person has none."""
EVEN_SHARE = 0.06
"""Reach of the mean that tells an even background, as a share of that side."""
EVEN_REACH_SHARE, MAX_UNEVEN_SHARE = 0.3, 0.025
"""A background of which more stands out, so far around the mask as a share of that side, is not even."""
QUARTER = 4
"""What varies slowly is computed on pictures so many times smaller."""


class Matte(NamedTuple):
    """alpha: (H, W) float32 in 0..1. colour: (H, W, 3) uint8. background: (H, W, 3) float32, the person taken out."""

    alpha: np.ndarray
    colour: np.ndarray
    background: np.ndarray


def cut_out(image: np.ndarray, person: np.ndarray, side: int) -> Matte:
    """A picture (H, W, 3) uint8 and its person mask (H, W), 0..1. side: of the portrait's square, pixels."""
    person = _with_locks(image, person.astype(np.float32), side)
    narrow = _filled(image, person > 0.05, max(1, round(side * NARROW_SHARE)))
    inside = cv2.erode((person > 0.9).astype(np.uint8), _disc(side * INNER_SHARE)) > 0
    away = cv2.distanceTransform((person <= 0.05).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = away > side * OUTER_SHARE
    if not inside.any() or not outside.any():
        return Matte(person, image, narrow)
    picture = image.astype(np.float32)
    sigma = side * COLOUR_SIGMA_SHARE
    smooth = 1 - np.clip(_mean_of(_roughness(picture, sigma), outside, 2 * sigma) / SMOOTH_GREY_LEVELS - 0.5, 0, 1)
    wide = _filled(image, person > 0.05, round(side * OUTER_SHARE))
    background = narrow + smooth[..., None] * (wide - narrow)
    colour = _mean_of(picture, inside, sigma)

    edge = ~(inside | outside)  # all that follows is computed there alone
    mixed, nearby, behind, mask = picture[edge], colour[edge], wide[edge], person[edge]
    apart = nearby - behind
    squared = (apart**2).sum(axis=1)
    share = ((mixed - behind) * apart).sum(axis=1) / np.maximum(squared, 1.0)
    share = np.clip((share - NOISE_SHARE) / (1 - 2 * NOISE_SHARE), 0, 1) * (1 - away[edge] / (side * OUTER_SHARE))
    least, most = CONTRAST_GREY_LEVELS
    trust = smooth[edge] * np.clip((np.sqrt(squared) - least) / (most - least), 0, 1)
    share = mask + trust * (share - mask)
    own = behind + (mixed - behind) / np.maximum(share, 0.05)[:, None]
    own = nearby + np.clip(share / 0.3, 0, 1)[:, None] * (own - nearby)
    alpha, cut = person.copy(), image.copy()
    alpha[edge] = share
    cut[edge] = np.round(np.clip(mixed + trust[:, None] * (own - mixed), 0, 255))
    return Matte(alpha, cut, background)


def _with_locks(image: np.ndarray, person: np.ndarray, side: int) -> np.ndarray:
    """The mask (H, W) with what hangs on it and stands out from an even background."""
    away = cv2.distanceTransform((person <= 0.05).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = away > side * OUTER_SHARE
    if not outside.any():
        return person
    picture, least, most = image.astype(np.float32), *LOCK_GREY_LEVELS
    even = outside
    for _ in range(2):  # the second time without what stood out
        apart = cv2.absdiff(picture, _mean_of(picture, even, side * EVEN_SHARE)) @ np.full(3, 1 / 3, np.float32)
        even = outside & (apart < most)
        if not even.any():
            return person
    out, around = apart > least, outside & (away < side * EVEN_REACH_SHARE)
    if out[around].sum() > MAX_UNEVEN_SHARE * around.sum():
        return person
    _, labels = cv2.connectedComponents((out & (away > 0)).astype(np.uint8))
    beyond = away > side * LOCK_REACH_SHARE
    beyond[[0, -1]] = beyond[:, [0, -1]] = True
    hang, go_on = (np.unique(labels[place]) for place in ((away > 0) & (away < 2), beyond))
    own = np.isin(labels, np.setdiff1d(hang, [0, *go_on]))
    edge = labels * (own & (away > 2) & (cv2.erode(own.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0))
    steps = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2)
    sharp = np.bincount(edge.ravel(), steps.ravel()) / np.maximum(np.bincount(edge.ravel()), 1) > MIN_STEP_GREY_LEVELS
    own &= np.isin(labels, np.flatnonzero(sharp))
    return np.where(own, np.maximum(person, np.clip((apart - least) / (most - least), 0, 1)), person)


def _roughness(picture: np.ndarray, sigma: float) -> np.ndarray:
    """How far each pixel is from the mean around it, grey levels, (H, W)."""
    small = cv2.resize(picture, None, fx=1 / QUARTER, fy=1 / QUARTER, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(sigma / QUARTER, 0.5))
    return np.asarray(cv2.absdiff(picture, cv2.resize(small, picture.shape[1::-1])) @ np.full(3, 1 / 3, np.float32))


def _mean_of(values: np.ndarray, where: np.ndarray, sigma: float) -> np.ndarray:
    """Mean of values (H, W[, C]) over the nearby pixels at which `where` is, those of the whole where none are near.

    Computed at a quarter of the size, which is much finer than sigma.
    """
    height, width = where.shape
    small = width // QUARTER, height // QUARTER
    weight = where.astype(np.float32)
    total = values * (weight if values.ndim == 2 else weight[..., None])
    weight, total = (
        cv2.GaussianBlur(cv2.resize(each, small, interpolation=cv2.INTER_AREA), (0, 0), max(sigma / QUARTER, 0.5))
        for each in (weight, total)
    )
    weight = weight + 1e-6
    mean = (total + 1e-6 * values[where].mean(axis=0)) / (weight if values.ndim == 2 else weight[..., None])
    return np.asarray(cv2.resize(mean.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))


def _disc(radius: float) -> np.ndarray:
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _filled(image: np.ndarray, hole: np.ndarray, grown: int) -> np.ndarray:
    """A picture with a hole (H, W), made wider by `grown` pixels, filled in from around, (H, W, 3) float32."""
    height, width = image.shape[:2]
    small = max(32, width // QUARTER), max(32, height // QUARTER)
    picture = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    missing = (cv2.resize(hole.astype(np.float32), small, interpolation=cv2.INTER_AREA) > 0.05).astype(np.uint8)
    missing = cv2.dilate(missing, np.ones((3, 3), np.uint8), iterations=max(1, round(grown * small[0] / width)))
    if missing.all():
        return image.astype(np.float32)
    filled = cv2.inpaint(picture, missing, 3, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    weight = cv2.resize(cv2.erode(missing, np.ones((3, 3), np.uint8)).astype(np.float32), (width, height))[..., None]
    return np.asarray(filled * weight + image.astype(np.float32) * (1 - weight))

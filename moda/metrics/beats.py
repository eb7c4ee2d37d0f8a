"""Beat alignment: does the head pause where the voice sets in?

Dimension letters: T frames of video (25 a second), N audio samples (16 kHz).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from moda.metrics.landmark import MIN_FRAMES
from moda.metrics.motion import MIN_TURN_STD_DEGREES, rotation
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.metrics.speech import MIN_AUDIBLE_DBFS, levels
from moda.representation import FPS, SAMPLE_RATE

SIGMA_SECONDS = 0.1
"""Standard deviation of the Gaussian by which a distance in time counts."""
SMOOTHING_FRAMES = 2.0
"""Standard deviation of the Gaussian that takes the tracker's noise out of the head's rotation."""
MIN_RISE_DB = 6.0
"""Least rise of level from one frame to the next that is an onset of the voice."""


@metric(
    name="beat_alignment", label="BAS", unit="1", better="higher",
    source="beat align score of Siyao et al. 2022 (Bailando), over head motion as SadTalker and KDTalker use it",
    needs=("tracks", "audio"),
)  # fmt: skip
def beat_alignment(clip: ClipPair) -> Value:
    """Mean over onsets of the voice of exp(-d^2 / 2 s^2), d the time to the nearest pause of the generated head (least
    speed of its rotation, smoothed over 0.08 s), s = 0.1 s. Onsets: rises of level of 6 dB and more. Pauses that come
    often score well by chance alone: read it against the ground truth's and the shifted rows.
    """
    assert clip.wave is not None  # it is needed, so it is there
    face = clip.tracks.generated
    if face.tracked.sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face")
    angles = rotation(face)
    if angles[face.tracked].std(axis=0).max() < MIN_TURN_STD_DEGREES:
        return NotAvailable("the head does not turn")
    onsets, pauses = voice_onsets(clip.wave, len(face)), head_pauses(angles)
    if not len(onsets) or not len(pauses):
        return NotAvailable("no onset of the voice" if not len(onsets) else "no pause of the head")
    return beat_score(onsets / FPS, pauses / FPS)


def beat_score(beats: np.ndarray, pauses: np.ndarray) -> float:
    """Moments (n,) of beats and (m,) of pauses, seconds, neither empty -> 0..1."""
    nearest = np.abs(beats[:, None] - pauses[None]).min(axis=1)
    return float(np.exp(-(nearest**2) / (2 * SIGMA_SECONDS**2)).mean())


def voice_onsets(wave: np.ndarray, frames: int) -> np.ndarray:
    """(N,) audio -> frames at which the level rises most: by `MIN_RISE_DB` or more, and more than beside them."""
    known = min(frames, len(wave) * int(FPS) // SAMPLE_RATE)
    level = np.maximum(levels(wave, known), MIN_AUDIBLE_DBFS)
    rise = np.diff(level, prepend=level[:1])
    return _peaks(rise)[rise[_peaks(rise)] >= MIN_RISE_DB]


def head_pauses(angles: np.ndarray) -> np.ndarray:
    """(T, 3) degrees, NaN without a face -> frames at which the head turns least, in parts with a face."""
    found = np.isfinite(angles).all(axis=1)
    moments = np.arange(len(angles))
    filled = np.stack([np.interp(moments, moments[found], axis[found]) for axis in angles.T], axis=1)
    smooth = gaussian_filter1d(filled, SMOOTHING_FRAMES, axis=0)
    pauses = _peaks(-np.linalg.norm(np.gradient(smooth, axis=0), axis=1))
    return pauses[found[pauses]]


def _peaks(values: np.ndarray) -> np.ndarray:
    """Indices that are larger than the value before and not smaller than the one after, ends left out."""
    inner = values[1:-1]
    return np.flatnonzero((inner > values[:-2]) & (inner >= values[2:])) + 1

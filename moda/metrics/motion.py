"""Metrics of blinks, of head motion, and of lips at rest in silence.

Dimension letters: T frames, N audio samples. Frames are 25 a second; values without a face are NaN.
"""

from __future__ import annotations

import numpy as np

from moda.blinks import find_blinks
from moda.landmarks import eye_opening
from moda.metrics.landmark import MIN_FRAMES, MIN_LIP_STD_PX
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.metrics.speech import MIN_SILENCE_SECONDS, silent_frames, stretches
from moda.metrics.tracks import FaceTrack
from moda.representation import FPS, SAMPLE_RATE

MIN_BLINK_FRAMES = 75
"""Fewest tracked frames (3 s) that a blink rate is computed from."""
MIN_TURN_STD_DEGREES = 0.1
"""Standard deviation under which the true head counts as not turning about an axis."""
SETTLING_SECONDS = 0.2
"""How long from the beginning of a silent stretch the lips may take to close."""
REST_OPENING_SHARE = 0.15
"""Share of the 95th percentile of lip opening below which lips are at rest."""


@metric(
    name="blink_rate",
    label="blinks",
    unit="1/min",
    better="none",
    digits=1,
    source="ours; the truth's own value is the ground truth's row",
)
def blink_rate(clip: ClipPair) -> Value:
    """Blinks of the generated face a minute of frames with a face: falls of the eye opening (lid distance over eye
    width, both eyes) below 60 % of its median over the clip, of 0.08 to 0.5 s below 70 % of it.
    """
    tracked = int(clip.tracks.generated.tracked.sum())
    if tracked < MIN_BLINK_FRAMES:
        return NotAvailable(f"fewer than {MIN_BLINK_FRAMES} frames with a face")
    return len(find_blinks(eye_opening(clip.tracks.generated.landmarks))) * 60 * FPS / tracked


@metric(
    name="blink_duration",
    label="blink duration",
    unit="s",
    better="none",
    source="ours; the truth's own value is the ground truth's row",
)
def blink_duration(clip: ClipPair) -> Value:
    """Mean time that a blink of the generated face lasts: eye opening below 70 % of its median over the clip."""
    blinks = find_blinks(eye_opening(clip.tracks.generated.landmarks))
    if not blinks:
        return NotAvailable("no blink")
    return float(np.mean([blink.seconds for blink in blinks]))


@metric(
    name="head_spread",
    label="head spread ratio",
    unit="ratio",
    better="one",
    source="ours",
)
def head_spread(clip: ClipPair) -> Value:
    """Standard deviation over time of the generated head's rotation over that of the true one, mean of the ratios
    of pitch, yaw and roll; axes about which the true head turns less than 0.1 degrees are left out.
    """
    if clip.tracks.valid.sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face in both videos")
    true, generated = (rotation(face)[clip.tracks.valid] for face in (clip.tracks.true, clip.tracks.generated))
    ratio = spread_ratio(true, generated)
    return NotAvailable("the true head does not turn") if ratio is None else ratio


@metric(
    name="head_speed",
    label="head speed ratio",
    unit="ratio",
    better="one",
    source="ours",
)
def head_speed(clip: ClipPair) -> Value:
    """Mean speed of the generated head's rotation over that of the true one: length of the change of pitch, yaw and
    roll from frame to frame; holds the tracker's noise in both.
    """
    valid = clip.tracks.valid
    steps = valid[1:] & valid[:-1]
    if steps.sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face in both videos")
    true, generated = (
        float(np.linalg.norm(np.diff(rotation(face), axis=0)[steps], axis=1).mean())
        for face in (clip.tracks.true, clip.tracks.generated)
    )
    if true * FPS < MIN_TURN_STD_DEGREES:
        return NotAvailable("the true head does not turn")
    return generated / true


def rotation(face: FaceTrack) -> np.ndarray:
    """(T, 3) pitch, yaw, roll of a track in degrees; NaN without a face."""
    angles = np.full((len(face), 3), np.nan)
    if face.tracked.any():
        angles[face.tracked] = face.pose.rotation
    return angles


def spread_ratio(true: np.ndarray, generated: np.ndarray) -> float | None:
    """Mean over axes of std(generated) / std(true), both (T, axes) degrees; None if the true one does not turn."""
    true_spread, spread = true.std(axis=0), generated.std(axis=0)
    turning = true_spread >= MIN_TURN_STD_DEGREES
    return float((spread[turning] / true_spread[turning]).mean()) if turning.any() else None


@metric(
    name="silence",
    label="lips at rest in silence",
    unit="share",
    better="truth",
    source="this project",
    needs=("tracks", "audio"),
)
def silence_score(clip: ClipPair) -> Value:
    """Share of silent frames in which the generated lips are at rest: opening below 15 % of its own 95th percentile
    over the clip. Silent: stretches of 0.3 s and more at least 30 dB below the clip's speech (95th percentile of
    the level of 40 ms), without their first 0.2 s. People who speak on breathe in through parted lips there: the nearer
    to the truth's the better, not the higher.
    """
    assert clip.wave is not None  # it is needed, so it is there
    opening = clip.tracks.generated.opening
    if np.isfinite(opening).sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face")
    if np.nanstd(opening) < MIN_LIP_STD_PX:
        return NotAvailable("the lips do not move")
    silent = settled_silence(clip.wave, len(opening)) & np.isfinite(opening)
    if not silent.any():
        return NotAvailable(f"no silent stretch of {MIN_SILENCE_SECONDS} s")
    return float(at_rest(opening)[silent].mean())


def at_rest(opening: np.ndarray) -> np.ndarray:
    """(T,) lip opening -> (T,) bool: below `REST_OPENING_SHARE` of its 95th percentile."""
    return np.asarray(opening) < REST_OPENING_SHARE * np.nanpercentile(opening, 95)


def settled_silence(wave: np.ndarray, frames: int) -> np.ndarray:
    """(N,) audio at 16 kHz -> (frames,) bool: in a stretch of silence, after the time that lips take to close.

    Frames after the audio's end do not count as silence.
    """
    known = min(frames, len(wave) * int(FPS) // SAMPLE_RATE)
    found = np.zeros(frames, bool)
    if not known:
        return found
    for first, after in stretches(silent_frames(wave, known)):
        found[first + round(SETTLING_SECONDS * FPS) : after] = True
    return found

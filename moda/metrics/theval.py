"""The five scores of motion of THEval (Quignon et al., CVPR 2026 Findings), on this project's landmarks.

Definitions are those of the paper and its code (github.com/Newbyl/THEval); what differs is said at each. Lengths are
pixels of the square frame at 256. The three scores of picture quality are in quality.py, the total in
theval_total.py. The values describe: a video is the better, the nearer it comes to the truth's.

Dimension letters: T frames (25 a second), V landmarks, N audio samples (16 kHz). Values without a face are NaN.
"""

from __future__ import annotations

import numpy as np

from moda.landmarks import (
    EYE_CORNERS,
    INNER_CORNERS,
    INNER_LIP_PAIRS,
    LEFT_EYE,
    LEFT_EYEBROW,
    LIPS,
    N_MESH,
    RIGHT_EYE,
    RIGHT_EYEBROW,
)
from moda.metrics.landmark import MIN_FRAMES
from moda.metrics.motion import rotation
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.metrics.speech import MIN_SILENCE_SECONDS, long_stretches, speech_detector, speech_frames
from moda.metrics.tracks import FaceTrack
from moda.representation import FPS, FRAME, SAMPLE_RATE

SIDE_PX = 256
"""Side of the square frame in whose pixels THEval measures."""
LIP_PAIRS = INNER_LIP_PAIRS[:8]
"""The pairs of THEval, which leaves out the ninth."""
LOUDNESS_WINDOW_SECONDS = 0.05
"""Length of the windows of loudness, which do not overlap."""
MIN_SPEECH_SHARE = 0.1
"""Least share of frames with speech that the lip-sync score is computed from."""
SOURCE = "THEval (Quignon et al. 2026), github.com/Newbyl/THEval"
FEW_FRAMES = NotAvailable(f"fewer than {MIN_FRAMES} frames with a face")


@metric(name="theval_lips", label="lip dynamics", unit="px", better="truth", digits=3, source=SOURCE)
def lip_dynamics(clip: ClipPair) -> Value:
    """Standard deviation over time of the distance between two lip landmarks, in x and y, mean over all 780 pairs of
    the 40; the generated face, not aligned, so that its size and turns of the head count too.
    """
    face = clip.tracks.generated
    lips = _points(face, LIPS)
    if len(lips) < MIN_FRAMES:
        return FEW_FRAMES
    first, second = np.triu_indices(len(LIPS), 1)
    # Pair by pair of columns, to bound memory: (T, 780) is 6 MB a thousand frames.
    return float(np.mean([_lengths(lips[:, i] - lips[:, j]).std() for i, j in zip(first, second, strict=True)]))


@metric(name="theval_brows", label="brow dynamics", unit="eyes/frame", better="truth", digits=4, source=SOURCE)
def brow_dynamics(clip: ClipPair) -> Value:
    """Mean change from one frame with a face to the next of the distance between the centre of an eyebrow and that of
    its eye, over the distance between the two eyes' centres; both sides. Holds the tracker's noise.
    """
    landmarks = _tracked(clip.tracks.generated)
    if len(landmarks) < MIN_FRAMES:
        return FEW_FRAMES
    centre = {
        name: landmarks[:, list(ids)].mean(axis=1)
        for name, ids in (("l", LEFT_EYE), ("r", RIGHT_EYE), ("lb", LEFT_EYEBROW), ("rb", RIGHT_EYEBROW))
    }
    eyes = _lengths(centre["l"] - centre["r"])
    heights = np.stack([_lengths(centre["lb"] - centre["l"]), _lengths(centre["rb"] - centre["r"])]) / eyes
    return float(np.abs(np.diff(heights, axis=1)).mean())


@metric(name="theval_head", label="head dynamics", unit="1", better="truth", source=SOURCE)
def head_dynamics(clip: ClipPair) -> Value:
    """sqrt(s d + p): s the standard deviation of pitch, yaw and roll in degrees, d the variance of their change a
    frame, p the variance of x and y of the centre of the face's box, each the mean over its axes. Theirs has the
    head pose of FaceXFormer and RetinaFace's box in the video's own pixels; this one that of the landmarks.
    """
    face = clip.tracks.generated
    landmarks = _tracked(face)
    if len(landmarks) < MIN_FRAMES:
        return FEW_FRAMES
    mesh = landmarks[:, :N_MESH]
    return head_complexity(rotation(face)[face.tracked], (mesh.min(axis=1) + mesh.max(axis=1)) / 2)


def head_complexity(angles: np.ndarray, centre: np.ndarray) -> float:
    """Angles (T, 3) degrees and centre (T, 2) px -> THEval's head motion dynamics."""
    steps = np.diff(angles, axis=0)
    return float(np.sqrt(angles.std(axis=0).mean() * steps.var(axis=0).mean() + centre.var(axis=0).mean()))


@metric(
    name="theval_silence", label="silent lips", unit="eyes", better="truth", digits=4, source=SOURCE,
    needs=("tracks", "audio"), variant=speech_detector,
)  # fmt: skip
def silent_lip_stability(clip: ClipPair) -> Value:
    """Median distance of the lip opening (mean height of 8 inner-lip pairs over the distance between the outer eye
    corners) from its mean, over frames in silences of 0.3 s and more. 0 is a mouth that does not move in silence.
    """
    assert clip.wave is not None  # it is needed, so it is there
    face = clip.tracks.generated
    speech = speech_frames(clip.wave, len(face), clip.settings.speech)
    silent = long_stretches(~speech, MIN_SILENCE_SECONDS) & face.tracked[: len(speech)]
    if silent.sum() < 2:
        return NotAvailable(f"no silent stretch of {MIN_SILENCE_SECONDS} s")
    landmarks = face.landmarks[: len(speech)][silent]
    upper, lower = (landmarks[:, [pair[side] for pair in LIP_PAIRS], 1] for side in (0, 1))
    right, left = (landmarks[:, corner, :2] for corner in EYE_CORNERS)
    opening = np.abs(upper - lower).mean(axis=1) / _lengths(left - right)
    return float(np.median(np.abs(opening - opening.mean())))


@metric(
    name="theval_sync", label="lip-sync", unit="1", better="truth", digits=3, source=SOURCE,
    needs=("tracks", "audio"), variant=speech_detector,
)  # fmt: skip
def lip_sync(clip: ClipPair) -> Value:
    """Mean difference between lip opening (of 8 inner-lip pairs, over the eyes' distance in x) and loudness (RMS of
    50 ms), each brought to 0..1 by its least and greatest value, over frames of speech. Lower is closer to loudness,
    which real people are not: the truth scores about 0.25.
    """
    assert clip.wave is not None  # it is needed, so it is there
    face = clip.tracks.generated
    speech = speech_frames(clip.wave, len(face), clip.settings.speech)
    if speech.sum() < MIN_SPEECH_SHARE * len(face):
        return NotAvailable(f"speech in less than {MIN_SPEECH_SHARE:.0%} of the frames")
    used = np.flatnonzero(speech & face.tracked[: len(speech)])
    if len(used) < 2:
        return NotAvailable("fewer than 2 frames of speech with a face")
    landmarks = face.landmarks[used]
    upper, lower = (landmarks[:, [pair[side] for pair in LIP_PAIRS], 1].mean(axis=1) for side in (0, 1))
    corners = [(EYE_CORNERS[side], INNER_CORNERS[side]) for side in (0, 1)]
    right, left = (landmarks[:, list(pair), 0].mean(axis=1) for pair in corners)
    opening = np.abs(upper - lower) / np.maximum(np.abs(left - right), 1e-6)
    return float(np.abs(_unit_range(opening) - _unit_range(loudness_at(clip.wave, used / FPS))).mean())


def loudness_at(wave: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(N,) audio -> its RMS at these moments, between windows of 50 ms centred on 0, 50, 100 ms ...; (M,)."""
    length = round(LOUDNESS_WINDOW_SECONDS * SAMPLE_RATE)
    padded = np.pad(np.asarray(wave, np.float64), (length // 2, length))
    windows = padded[: (1 + len(wave) // length) * length].reshape(-1, length)
    rms = np.sqrt((windows**2).mean(axis=1))
    return np.interp(seconds, np.arange(len(rms)) * LOUDNESS_WINDOW_SECONDS, rms)


def _unit_range(values: np.ndarray) -> np.ndarray:
    """Values brought to 0..1; all 0 where they are equal."""
    return np.asarray((values - values.min()) / (np.ptp(values) + 1e-8))


def _tracked(face: FaceTrack) -> np.ndarray:
    """(n, 478, 2) landmarks of the frames with a face, px of the square frame at 256."""
    return np.asarray(face.landmarks[face.tracked][..., :2]) * (SIDE_PX / FRAME)


def _points(face: FaceTrack, ids: tuple[int, ...]) -> np.ndarray:
    """(n, V, 2) some of them."""
    return np.asarray(face.landmarks[face.tracked][:, list(ids), :2]) * (SIDE_PX / FRAME)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(np.hypot(vectors[..., 0], vectors[..., 1]))

"""Scores of stage 1's motion, clip by clip, in the units it predicts, for `motion.py` and `shape.py`.

Dimension letters: T frames at 25 fps, N audio samples at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch

from moda.animation import AnimationConfig
from moda.blinks import find_blinks
from moda.config import apply_overrides, load_yaml, parse
from moda.data.clip import Clip
from moda.evaluation.statistics import mean_interval
from moda.landmarks import EYES, LIPS, eye_opening, lip_opening
from moda.metrics.diversity import diversity
from moda.metrics.landmark import lagged
from moda.metrics.motion import SETTLING_SECONDS, at_rest, settled_silence
from moda.pipeline import Animator
from moda.representation import FPS, SAMPLE_RATE, HeadPose, Motion, Portrait, samples_at

MAX_LAG_FRAMES = 6
"""Frames either way that are searched for the best lag."""
COMMON_FRAMES = 75
"""Frames that clips are cut to where their spreads are compared."""

Scores = dict[str, float]


def animator_of(changes: Sequence[str]) -> Animator:
    """The animation of default/infer with KEY=VALUE changes, on the CPU."""
    tree = apply_overrides(load_yaml("default/infer"), list(changes))
    return Animator.from_config(parse(AnimationConfig, tree, source="infer.yaml"), torch.device("cpu"))


def interval_text(values: np.ndarray, digits: int) -> str:
    """Ends of the 95 % interval of a mean over people."""
    interval = mean_interval(values)
    return "too few" if interval is None else f"{interval.low:.{digits}f} .. {interval.high:.{digits}f}"


def portrait_of(clip: Clip) -> Portrait:
    """A portrait that has the clip's mesh and nothing else: all that stage 1 reads of one."""
    pose = HeadPose(np.zeros(3), np.zeros(3), np.ones(()))
    blank = np.zeros((8, 8, 3), np.uint8)
    mesh = np.array(clip.subject)
    return Portrait(blank, mesh, pose, mesh, np.zeros((18, 3), np.float32), np.zeros((8, 8), np.float32))


def audio_of(clip: Clip) -> np.ndarray:
    """(640 T,) float32: the clip's audio, of exactly its frames."""
    wave, wanted = clip.audio(), samples_at(clip.frames)
    return np.pad(wave[:wanted], (0, max(0, wanted - len(wave)))).astype(np.float32)


def mesh_of(subject: np.ndarray, rows: Sequence[int], offsets: np.ndarray) -> np.ndarray:
    """Subject (478, 3) with the offsets (T, P, 3) of some of its points added: (T, 478, 3)."""
    meshes = np.repeat(subject[None], len(offsets), axis=0)
    meshes[:, list(rows)] += offsets
    return meshes


def opening_of(subject: np.ndarray, motion: Motion) -> np.ndarray:
    """(T,) opening of the lips, pixels."""
    return lip_opening(mesh_of(subject, LIPS, motion.lips))


class LagCorrelation(NamedTuple):
    """Correlation at lag 0, the highest of all lags, and that lag in frames; positive: the prediction is late."""

    at_0: float
    best: float
    lag: int


def lag_correlation(made: np.ndarray, true: np.ndarray) -> LagCorrelation:
    """Pearson correlation of two curves (T,) by the lag of the first."""
    by_lag = [float(np.corrcoef(*lagged(true, made, lag))[0, 1]) for lag in range(-MAX_LAG_FRAMES, MAX_LAG_FRAMES + 1)]
    best = int(np.argmax(by_lag))
    return LagCorrelation(by_lag[MAX_LAG_FRAMES], by_lag[best], best - MAX_LAG_FRAMES)


def lip_scores(subject: np.ndarray, true: Motion, made: Motion) -> Scores:
    """Correlation of the openings at lag 0 and at the best lag, that lag, spread of the opening over the true one's,
    and the distance of the lips' motion (medians taken off) from the true one over a still mouth's.
    """
    a, b = opening_of(subject, made), opening_of(subject, true)
    found = lag_correlation(a, b)
    moved, wanted = (m.lips - np.median(m.lips, axis=0) for m in (made, true))
    still = np.linalg.norm(wanted, axis=-1).mean()
    return {
        "lip corr. lag 0": found.at_0,
        "lip corr. best lag": found.best,
        "|best lag|": float(abs(found.lag)),
        "opening ratio": float(a.std() / max(b.std(), 1e-3)),
        "lips / still mouth": float(np.linalg.norm(moved - wanted, axis=-1).mean() / max(still, 1e-6)),
    }


def head_scores(true: Motion, made: Motion) -> Scores:
    """Spread and mean speed of each rotation axis, over the true head's."""
    a, b = (motion.head[:, :3] for motion in (made, true))
    spread = a.std(axis=0) / np.maximum(b.std(axis=0), 0.1)
    speed = np.abs(np.diff(a, axis=0)).mean(axis=0) / np.maximum(np.abs(np.diff(b, axis=0)).mean(axis=0), 1e-3)
    return {
        f"{axis} {name}": float(value)
        for name, values in (("spread", spread), ("speed", speed))
        for axis, value in zip(("pitch", "yaw", "roll"), values, strict=True)
    }


def blink_scores(subject: np.ndarray, true: Motion, made: Motion) -> Scores:
    """Blinks a minute and their mean duration, of both."""
    scores = {}
    for name, motion in (("", made), (", truth", true)):
        blinks = find_blinks(eye_opening(mesh_of(subject, EYES, motion.eyes)))
        scores[f"blinks/min{name}"] = len(blinks) * 60 * FPS / len(motion)
        if blinks:
            scores[f"blink s{name}"] = float(np.mean([blink.seconds for blink in blinks]))
    return scores


def pause_scores(subject: np.ndarray, true: Motion, made: Motion, wave: np.ndarray) -> Scores:
    """Standard deviation and speed of the opening in pauses of 0.3 s and more (metric "silence"), over the true one's;
    nothing without a pause.
    """
    silent = np.concatenate([[False], settled_silence(wave, len(true)), [False]])
    edges = np.flatnonzero(np.diff(silent)).reshape(-1, 2)
    pauses = [slice(max(first - round(SETTLING_SECONDS * FPS), 0), after) for first, after in edges]
    if not pauses:
        return {}
    values = [
        (np.mean([curve[p].std() for p in pauses]), np.mean([np.abs(np.diff(curve[p])).mean() for p in pauses]))
        for curve in (opening_of(subject, motion) for motion in (made, true))
    ]
    (spread, speed), (true_spread, true_speed) = values
    return {"pause spread": spread / max(true_spread, 0.1), "pause speed": speed / max(true_speed, 0.02)}


def rest_share(subject: np.ndarray, motion: Motion, pause: slice) -> float:
    """Share of the frames of a pause, after its first 0.6 s, in which lips are at rest (metric "silence")."""
    settled = slice(pause.start + round(0.6 * FPS), pause.stop)
    return float(at_rest(opening_of(subject, motion))[settled].mean())


def band(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    """A waveform (N,) without what lies outside of `low` to `high` Hz; 300 to 3400 is a telephone's band."""
    spectrum = np.fft.rfft(wave)
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    spectrum[(hertz < low) | (hertz > high)] = 0
    return np.fft.irfft(spectrum, len(wave))


FILLINGS = ("nothing", "noise", "hum", "rumble", "music", "breath")
"""What a pause is filled with."""
PAUSE_SECONDS = 2.0


def with_pause(wave: np.ndarray, filling: str) -> tuple[np.ndarray, slice]:
    """The audio with a pause where its middle is quietest, all of it with `filling` 20 dB below; the pause's frames.

    hum: harmonics of 50 Hz. rumble: noise below 120 Hz. music: chords struck twice a second. breath: noise
    between 300 and 3000 Hz that comes and goes.
    """
    frames = len(wave) // 640
    power = np.square(wave[: frames * 640]).reshape(frames, 640).mean(axis=1)
    third = frames // 3
    first = third + int(power[third : max(2 * third, third + 1)].argmin())
    length = round(PAUSE_SECONDS * FPS)
    longer = np.concatenate([wave[: first * 640], np.zeros(length * 640, np.float32), wave[first * 640 :]])
    time, random = np.arange(len(longer)) / SAMPLE_RATE, np.random.default_rng(0)
    noise = random.standard_normal(len(longer))
    if filling == "hum":
        noise = sum(np.sin(2 * np.pi * 50 * k * time + k) / k for k in range(1, 60))
    elif filling == "rumble":
        noise = band(np.cumsum(noise), 5, 120)
    elif filling == "music":
        pitch = 2 ** (np.floor(2 * time) % 5 / 12)
        noise = sum(np.sin(2 * np.pi * f * time * pitch) for f in (220.0, 277.2, 329.6)) * np.exp(-2 * (2 * time % 1))
    elif filling == "breath":
        noise = band(noise, 300, 3000) * np.sin(np.pi * time) ** 2
    level = 0.0 if filling == "nothing" else 0.1 * np.sqrt(np.mean(wave**2) / np.mean(noise**2))
    return (longer + level * noise).astype(np.float32), slice(first, first + length)


def seed_spread(made: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> float:
    """Mean pairwise distance between seeds of one audio, over that between different true clips.

    made: a (T, 3) rotation a seed. true: rotations of different clips, each cut to `COMMON_FRAMES`, means taken off.
    """
    cut = [
        rotation[:COMMON_FRAMES] - rotation[:COMMON_FRAMES].mean(axis=0)
        for rotation in true
        if len(rotation) >= COMMON_FRAMES
    ]
    between = np.mean([np.linalg.norm(a - b, axis=1).mean() for a, b in combinations(cut, 2)])
    return diversity([r[:COMMON_FRAMES] - r[:COMMON_FRAMES].mean(axis=0) for r in made]) / float(between)


def person_means(rows: Sequence[tuple[str, Scores]]) -> tuple[dict[str, np.ndarray], int]:
    """(person, scores) a clip -> each score's means over the clips of every person that has it; number of people."""
    table: dict[str, dict[str, list[float]]] = {}
    for person, scores in rows:
        for name, value in scores.items():
            table.setdefault(name, {}).setdefault(person, []).append(value)
    means = {name: np.array([np.mean(people[who]) for who in sorted(people)]) for name, people in table.items()}
    return means, len({person for person, _ in rows})

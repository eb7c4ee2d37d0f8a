"""Scores of the eyes in a rendered clip: how they look while the truth blinks, and which blinks are found again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from benchmarks.self_driven import METHODS, Scores, SelfDriven, track
from moda.blinks import CLOSED_SHARE, Blink, find_blinks
from moda.data.blinking import clip_opening
from moda.imaging.conditioning import picture_tensor
from moda.imaging.warping import PixelBox
from moda.imaging.windows import cut, eye_outlines, eyes_window, mouth_window
from moda.landmarks import eye_opening
from moda.nn.perceptual import PictureFeatures, perceptual_loss
from moda.representation import FRAME
from moda.stages.renderer.inputs import to_signed

MAX_CLOSED_FRAMES, MAX_BLINKS = 8, 3
"""Of a clip, at most so many frames with closed eyes and so many blinks are looked at, evenly over its time."""
AROUND_BLINK_FRAMES = 10
"""Frames before and after a blink that are tracked with it."""


def perceptual_scores(driven: SelfDriven, judge: PictureFeatures, frames: Sequence[int]) -> dict[int, Scores]:
    """Distance of features, relative to the truth's, in the windows of mouth and eyes, of frames by their number.

    Those in which the true eyes are closed (more of these are taken) have "perceptual_blink", of the eyes' window, and
    "perceptual_lids", the smallest rectangles around the eyes' outlines, at twice the size.
    """
    opening = clip_opening(driven.clip)
    with np.errstate(invalid="ignore"):
        closed = np.flatnonzero(opening < CLOSED_SHARE * np.nanmedian(opening))
    closed = closed[closed != driven.reference]
    taken = np.unique(np.linspace(0, len(closed) - 1, min(MAX_CLOSED_FRAMES, len(closed))).astype(int))
    blinking = {int(frame) for frame in closed[taken]}
    found: dict[int, Scores] = {}
    for index in sorted(blinking | set(frames)):
        truth, landmarks = driven.truth(index), np.asarray(driven.clip.landmarks[index])
        windows = {"mouth": mouth_window(landmarks, driven.size), "eyes": eyes_window(landmarks, driven.size)}
        rendered = driven.render(index)
        scores: Scores = {}
        for area, window in windows.items():
            for method in METHODS:
                distance = _distance(judge, cut(truth, window), cut(rendered[method], window))
                if index in frames:
                    scores[f"perceptual_{area}/{method}"] = distance
                if area == "eyes" and index in blinking:
                    scores[f"perceptual_blink/{method}"] = distance
                    boxes = [_lids(outline, driven.size) for outline in eye_outlines(landmarks)]
                    scores[f"perceptual_lids/{method}"] = float(
                        np.mean(
                            [_distance(judge, *(_twice(cut(p, b)) for p in (truth, rendered[method]))) for b in boxes]
                        )
                    )
        found[index] = scores
    return found


def _distance(judge: PictureFeatures, truth: np.ndarray, picture: np.ndarray) -> float:
    real, fake = (judge(to_signed(picture_tensor([each]))) for each in (truth, picture))
    with torch.inference_mode():
        return float(perceptual_loss(real, fake, relative=True))


def _lids(outline: np.ndarray, size: int) -> PixelBox:
    """The smallest rectangle around an eye's outline (P, 2), square frame, inside a size x size picture."""
    ends = np.stack([np.floor(outline.min(axis=0)), np.ceil(outline.max(axis=0))]) * (size / FRAME)
    (left, top), (right, bottom) = np.clip(np.round(ends), 0, size).astype(int)
    return PixelBox(int(left), int(top), int(right - left), int(bottom - top))


def _twice(picture: np.ndarray) -> np.ndarray:
    return np.asarray(
        Image.fromarray(picture).resize((2 * picture.shape[1], 2 * picture.shape[0]), Image.Resampling.BICUBIC)
    )


def blink_scores(driven: SelfDriven) -> Scores:
    """ "blinks/true": the truth's blinks that are looked at; "blinks/METHOD": how many of them are found again by the
    tracker, in what METHOD rendered of them and in the true frames themselves ("blinks/truth").
    """
    clip = driven.clip
    every = find_blinks(clip_opening(clip))
    taken = np.unique(np.linspace(0, len(every) - 1, min(MAX_BLINKS, len(every))).astype(int))
    counts = dict.fromkeys(("true", "truth", *METHODS[:2]), 0)
    for blink in (every[i] for i in taken):
        start = max(0, int(blink.start) - AROUND_BLINK_FRAMES)
        frames = range(start, min(clip.frames, int(blink.stop) + AROUND_BLINK_FRAMES))
        counts["true"] += 1
        pictures: dict[str, list[np.ndarray]] = {name: [] for name in ("truth", *METHODS[:2])}
        for index in frames:
            rendered = {**driven.render(index), "truth": driven.truth(index)}
            for name, shown in pictures.items():
                shown.append(rendered[name])
        for name, shown in pictures.items():
            opening = eye_opening(track(shown, driven.size))
            counts[name] += any(_same(found, blink, start) for found in find_blinks(opening))
    return {f"blinks/{name}": float(count) for name, count in counts.items()}


def _same(found: Blink, blink: Blink, start: int) -> bool:
    return found.start + start <= blink.stop and found.stop + start >= blink.start

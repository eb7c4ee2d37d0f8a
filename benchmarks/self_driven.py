"""One clip rendered again from one frame of itself and its own true landmarks, and measured against the truth.

Dimension letters: T frames, H W height and width of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from moda import checkpoint
from moda.data.clip import Clip
from moda.imaging.conditioning import ReferenceConditioner
from moda.imaging.crop import Box, crop_square
from moda.imaging.windows import cut, mouth_region, mouth_window
from moda.landmarks import eye_opening, lip_opening
from moda.media.video import VideoReader
from moda.metrics.image import luma, psnr, ssim
from moda.metrics.landmark import jitter, lmd
from moda.metrics.registry import ClipPair
from moda.metrics.temporal import MIN_RESIDUAL_GREY_LEVELS_SQUARED, consistency, residual
from moda.metrics.tracks import FaceTrack, PairedTracks
from moda.representation import FRAME, Portrait
from moda.stages.registry import load_network
from moda.stages.renderer.network import Renderer
from moda.tracking.face import FaceTracker
from moda.tracking.person import PersonSegmenter
from moda.tracking.portrait import follow_edges  # the person mask is that of moda infer

METHODS = ("network", "warp", "still")
"""The renderer, its warp alone, and the reference as it is."""
MAX_BACKGROUND_PROBABILITY, PERSON_MARGIN_SHARE = 0.05, 0.02
"""Background is where the person mask is lower, further from the person than this share of the picture's side."""
Scores = dict[str, float]
"""Values by "measure/method"; of the truth itself by "measure/truth"."""


@dataclass(frozen=True)
class ClipScores:
    """Scores of single frames by their index, of a run of neighbouring frames, and the frames of the contact sheet.

    shown: see `shown_frames`. turn: of the frame "turned", the change of yaw from the reference in degrees.
    """

    clip: str
    identity: str
    frames: dict[int, Scores]
    steady: Scores
    shown: dict[str, int]
    turn: float


def load_renderer(path: Path) -> Renderer:
    """A renderer's checkpoint, for the CPU; raises `CheckpointError`."""
    loaded = checkpoint.load(path, stage="renderer", map_location="cpu")
    network = load_network(loaded, {}, source=str(path))
    assert isinstance(network, Renderer)
    return network.eval()


class SelfDriven:
    """Renders frames of a clip from its first tracked frame. Use as a context manager."""

    def __init__(self, clip: Clip, renderer: Renderer, size: int) -> None:
        self.clip, self.size = clip, size
        self._video = VideoReader(clip.video_path)
        self._segmenter = PersonSegmenter()
        portrait, self.reference = reference_portrait(clip, size)
        self.still = self.truth(self.reference)
        self._session = renderer.open(portrait, "cpu", size)
        self._warp = ReferenceConditioner(portrait, size, warp=True)

    def __enter__(self) -> SelfDriven:
        return self

    def __exit__(self, *_: object) -> None:
        self._video.close()
        self._segmenter.close()

    def truth(self, index: int) -> np.ndarray:
        """(size, size, 3) uint8 RGB."""
        frame = self._video[index]
        return crop_square(frame, Box(0, 0, len(frame)), self.size)

    def render(self, index: int) -> dict[str, np.ndarray]:
        """The frame by every method, (size, size, 3) uint8 RGB each."""
        landmarks, torso = (np.asarray(points[index : index + 1]) for points in (self.clip.landmarks, self.clip.torso))
        (inputs,) = self._warp.frames(landmarks, torso, index)
        assert inputs.picture is not None
        return {
            "network": self._session.render(landmarks, torso, index)[0],
            "warp": inputs.picture,
            "still": self.still,
        }

    def background(self, picture: np.ndarray) -> np.ndarray:
        """(size, size) bool: where a true frame shows background, well away from the person."""
        person = self._segmenter.mask(picture) > MAX_BACKGROUND_PROBABILITY
        return ~ndimage.binary_dilation(person, iterations=max(1, round(PERSON_MARGIN_SHARE * self.size)))

    def yaw(self) -> np.ndarray:
        """(T,) absolute change of yaw from the reference, degrees."""
        yaw = np.asarray(self.clip.pose.rotation[:, 1])
        return np.abs(yaw - yaw[self.reference])

    def opening(self) -> np.ndarray:
        """(T,) true lip opening, canonical pixels."""
        return lip_opening(self.clip.canonical)


def reference_portrait(clip: Clip, size: int) -> tuple[Portrait, int]:
    """A clip's first tracked frame as `make_portrait` would understand it, in the clip's own square; and its number."""
    index = int(np.flatnonzero(clip.tracked)[0])  # infer.py takes a video's first frame
    whole = Box(0, 0, FRAME)
    with VideoReader(clip.video_path) as video, PersonSegmenter() as segmenter:
        frame = video[index]
        square = crop_square(frame, Box(0, 0, len(frame)), FRAME)
        person = follow_edges(segmenter.mask(square), square)
    portrait = Portrait(
        image=crop_square(frame, Box(0, 0, len(frame)), size),
        landmarks=np.array(clip.landmarks[index]),
        pose=clip.pose[index],
        subject=np.array(clip.subject),
        torso=np.array(clip.torso[index]),
        person=crop_square(person, whole, size),
    )
    return portrait, index


def measure(clip: Clip, renderer: Renderer, size: int, every: int, run: int) -> ClipScores:
    """Every n-th frame by itself, and `run` neighbouring frames from the middle on for what changes over time."""
    with torch.inference_mode(), SelfDriven(clip, renderer, size) as driven:
        yaw = driven.yaw()
        frames = [int(index) for index in np.flatnonzero(clip.tracked) if index != driven.reference]
        scores = {index: _picture_scores(driven, index) for index in frames[every // 2 :: every]}
        start = max(0, (clip.frames - run) // 2)
        steady = _steadiness(driven, range(start, min(clip.frames, start + run)))
        shown = shown_frames(driven, frames)
    return ClipScores(clip.id, clip.identity, scores, steady, shown, float(yaw[shown["turned"]]))


def shown_frames(driven: SelfDriven, frames: list[int]) -> dict[str, int]:
    """Of these frames the one with the widest mouth, the largest turn, and the eyes most closed."""
    yaw, opening, eyes = driven.yaw(), driven.opening(), eye_opening(driven.clip.landmarks)
    return {
        "open": max(frames, key=lambda i: opening[i]),
        "turned": max(frames, key=lambda i: yaw[i]),
        "closed": min(frames, key=lambda i: eyes[i]),
    }


def _picture_scores(driven: SelfDriven, index: int) -> Scores:
    """Scores of one frame. L1: grey levels, mean over channels. Sharpness: variance of luma's Laplacian."""
    truth = driven.truth(index)
    landmarks = np.asarray(driven.clip.landmarks[index])
    inside = np.zeros((driven.size, driven.size), bool)
    cut(inside, mouth_window(landmarks, driven.size))[:] = True
    areas = {"mouth": inside, "lips": _bounding_box(mouth_region(landmarks, driven.size) > 0.5), "outside": ~inside}
    scores: Scores = {}
    for name, picture in {**driven.render(index), "truth": truth}.items():
        detail = ndimage.laplace(luma(picture))
        error = np.abs(picture.astype(np.float32) - truth).mean(axis=2)
        for area, mask in areas.items():
            if mask.any():
                scores[f"sharpness_{area}/{name}"] = float(detail[mask].var())
                scores[f"l1_{area}/{name}"] = float(error[mask].mean())
        if name != "truth":
            scores |= {f"psnr/{name}": psnr(truth, picture), f"ssim/{name}": ssim(truth, picture)}
    return scores


def _bounding_box(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: True in the least upright rectangle that holds all of a mask; nowhere if the mask is empty."""
    box = np.zeros_like(mask)
    if mask.any():
        (top, bottom), (left, right) = (np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0))
        box[top : bottom + 1, left : right + 1] = True
    return box


def _steadiness(driven: SelfDriven, run: range) -> Scores:
    """Scores of neighbouring frames: residuals along the flow, the background's change, landmarks detected again."""
    pictures: dict[str, list[np.ndarray]] = {"truth": [], "network": [], "warp": []}
    for index in run:
        pictures["truth"].append(driven.truth(index))
        rendered = driven.render(index)
        for name in ("network", "warp"):
            pictures[name].append(rendered[name])
    backgrounds = [driven.background(picture) for picture in pictures["truth"]]
    windows = [mouth_window(np.asarray(driven.clip.landmarks[index]), driven.size) for index in run]
    tracks = {name: FaceTrack(track(frames, driven.size)) for name, frames in pictures.items()}
    scores: Scores = {}
    reference: dict[str, np.ndarray] = {}
    for name, frames in pictures.items():
        steps = [np.abs(b.astype(np.float32) - a).mean(axis=2) for a, b in pairwise(frames)]
        shared = [a & b for a, b in pairwise(backgrounds)]
        still = [float(step[mask].mean()) for step, mask in zip(steps, shared, strict=True) if mask.any()]
        if still:
            scores[f"background_step/{name}"] = float(np.mean(still))
        whole = np.array([residual(a, b) for a, b in pairwise(frames)])
        mouth = np.array(
            [residual(cut(a, w), cut(b, w)) for (a, b), w in zip(pairwise(frames), windows[1:], strict=True)]
        )
        pair = ClipPair(PairedTracks(tracks["truth"], tracks[name]))
        scores[f"jitter/{name}"] = float(jitter(pair))  # type: ignore[arg-type]
        if name == "truth":
            reference = {"whole": whole, "mouth": mouth}
            continue
        moving = reference["whole"] >= MIN_RESIDUAL_GREY_LEVELS_SQUARED
        if moving.any():
            scores[f"tcm/{name}"] = float(
                np.mean([consistency(t, g) for t, g in zip(reference["whole"][moving], whole[moving], strict=True)])
            )
            scores[f"flicker_whole/{name}"] = float(whole[moving].mean() / reference["whole"][moving].mean())
            scores[f"flicker_mouth/{name}"] = float(mouth[moving].mean() / reference["mouth"][moving].mean())
        scores[f"lmd/{name}"] = float(lmd(pair))  # type: ignore[arg-type]
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def track(frames: list[np.ndarray], size: int) -> np.ndarray:
    """(T, 478, 3) landmarks detected in frames, pixels of the square frame; NaN rows where there is no face."""
    rows = []
    with FaceTracker(video=True) as tracker:
        for frame in frames:
            face = tracker.track(frame)
            rows.append(np.full((478, 3), np.nan) if face is None else face * (FRAME / size))
    return np.stack(rows)

"""Which stretches of a video hold one person in one shot, and where that person's face is.

Input: a thumbnail of every frame at 25 fps, and the faces in one frame of a dozen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from moda.imaging.crop import Box, face_size
from moda.landmarks import lip_opening
from moda.representation import FPS

SAMPLE_STEP_FRAMES = 12
"""Faces are looked for in one frame of so many."""
MIN_CUT_GREY_LEVELS = 16.0
"""Mean change between neighbouring thumbnails, grey levels, from which on it may be a cut ..."""
MIN_CUT_RATIO = 5.0
"""... if it is also so many times the usual change around it."""
CUT_CONTEXT_FRAMES = 12
"""Frames on each side from which the usual change is taken."""
MAX_MISSED_SAMPLES = 2
"""A face that is missing from more samples in a row than this has left."""
MAX_FACE_MOVE_SHARE = 0.8
"""Two samples show one face if its middle moves by less than this, in face sizes ..."""
MAX_FACE_SIZE_RATIO = 1.6
"""... and its size changes by less than this factor."""
MIN_FACE_SIZE_SHARE = 0.5
"""Faces smaller than this share of the largest are bystanders."""
MIN_LIP_MOVEMENT = 0.01
"""Lip movement, in sizes of the face, that is added to everyone's: between still faces the larger one wins."""
MIN_SHOT_SECONDS = 1.5
"""Shortest shot that is taken of a video that has several ..."""
MIN_SINGLE_SECONDS = 1.0
"""... and of one that has no cut."""


class Shot(NamedTuple):
    """Frames [start, stop) of the source at 25 fps, the crop, and how many people are in it.

    exact: all of it is wanted, as it is listed; else its ends may be trimmed.
    """

    start: int
    stop: int
    box: Box
    people: int = 1
    exact: bool = False


class Sample(NamedTuple):
    """Faces found in one frame: (478, 3) pixels of the source each."""

    frame: int
    faces: list[np.ndarray]


class FaceRun(NamedTuple):
    """One face over a stretch: frames at which it was found and its landmarks (K, 478, 3)."""

    frames: np.ndarray
    landmarks: np.ndarray

    @property
    def size(self) -> float:
        """Median size, pixels of the source."""
        return float(np.median(face_size(self.landmarks)))

    @property
    def lip_movement(self) -> float:
        """Standard deviation of the lip opening, in sizes of the face: the lips of a speaker move."""
        return float(np.std(lip_opening(self.landmarks[..., :2]) / np.asarray(face_size(self.landmarks))))


def picture_cuts(thumbnails: np.ndarray) -> list[int]:
    """Frames that begin another shot. thumbnails: (T, h, w) uint8 grey levels."""
    frames = len(thumbnails)
    if frames < 2:
        return []
    change = np.zeros(frames, np.float32)
    for start in range(0, frames - 1, 4096):  # a film's thumbnails need not be in memory at once
        piece = np.asarray(thumbnails[start : start + 4097], np.int16)
        change[start + 1 : start + len(piece)] = np.abs(np.diff(piece, axis=0)).mean(axis=(1, 2))
    cuts = []
    for frame in np.flatnonzero(change > MIN_CUT_GREY_LEVELS).tolist():
        around = change[max(1, frame - CUT_CONTEXT_FRAMES) : frame + CUT_CONTEXT_FRAMES + 1]
        if change[frame] > MIN_CUT_RATIO * (float(np.median(around)) + 1.0) and change[frame] >= around.max():
            cuts.append(frame)
    return cuts


def face_runs(samples: Sequence[Sample]) -> list[FaceRun]:
    """Link the faces of one shot's samples, by place and size, to one run a person."""
    runs: list[list[tuple[int, np.ndarray]]] = []
    for sample in samples:
        free = list(range(len(runs)))
        for face in sample.faces:
            alike = [number for number in free if _same(runs[number][-1][1], face)]
            nearest = min(alike, key=lambda number: _distance(runs[number][-1][1], face), default=None)
            if nearest is not None:
                runs[nearest].append((sample.frame, face))
                free.remove(nearest)
            else:
                runs.append([(sample.frame, face)])
    return [FaceRun(np.array([frame for frame, _ in run]), np.stack([face for _, face in run])) for run in runs]


def _middle(face: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (face[:, :2].min(axis=0) + face[:, :2].max(axis=0)))


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(_middle(first) - _middle(second)))


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    sizes = float(face_size(first)), float(face_size(second))
    return _distance(first, second) < MAX_FACE_MOVE_SHARE * max(sizes) and max(sizes) < MAX_FACE_SIZE_RATIO * min(sizes)


def speaker(runs: Sequence[FaceRun]) -> tuple[FaceRun | None, int]:
    """The run of who speaks, and how many people there are who could.

    Of the faces that are not small and are there for a good part, the one whose lips move most.
    """
    if not runs:
        return None, 0
    largest = max(run.size for run in runs)
    longest = max(len(run.frames) for run in runs if run.size >= MIN_FACE_SIZE_SHARE * largest)
    people = [run for run in runs if run.size >= MIN_FACE_SIZE_SHARE * largest and 2 * len(run.frames) >= longest]
    return max(people, key=lambda run: run.size * (run.lip_movement + MIN_LIP_MOVEMENT)), len(people)


def stretches(run: FaceRun, start: int, stop: int) -> list[tuple[int, int]]:
    """Frames [start, stop) of a shot in which the face stays: cut where it is missed too long."""
    gaps = np.flatnonzero(np.diff(run.frames) > (MAX_MISSED_SAMPLES + 1) * SAMPLE_STEP_FRAMES)
    firsts = [int(run.frames[0]), *(int(run.frames[gap + 1]) for gap in gaps)]
    lasts = [*(int(run.frames[gap]) for gap in gaps), int(run.frames[-1])]
    return [
        (max(start, first - SAMPLE_STEP_FRAMES), min(stop, last + SAMPLE_STEP_FRAMES + 1))
        for first, last in zip(firsts, lasts, strict=True)
    ]


def divided(start: int, stop: int, max_seconds: float) -> list[tuple[int, int]]:
    """[start, stop) in as few pieces of equal length as none is longer than `max_seconds`."""
    pieces = max(1, math.ceil((stop - start) / (max_seconds * FPS)))
    edges = [start + round((stop - start) * number / pieces) for number in range(pieces + 1)]
    return list(pairwise(edges))

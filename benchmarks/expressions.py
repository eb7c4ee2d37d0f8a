"""Makes moda/package_data/expressions.npz: how lips, lids and brows stand in expressions, by people's faces.

python -m benchmarks.expressions data/clips data/photos

Points of faces seen from the front (photographs, and frames of clips relative to their person) are regressed on
MediaPipe's blendshape coefficients of the same points, all at once, so that each coefficient gets what goes with it
alone. An expression is the sum of its coefficients' parts, each at its `STRONG` quantile, made the same on both sides.
Lips that face one another move up and down together: an expression opens no mouth, the speech does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from moda.data.photos import PhotoStore
from moda.data.store import ClipStore
from moda.expressions import EXPRESSIONS
from moda.files import write_npz
from moda.geometry import to_canonical
from moda.landmarks import EYES, INNER_LIP_PAIRS, LIPS, other_side
from moda.tracking.blendshapes import NAMES, blendshapes

TARGET = Path("moda/package_data/expressions.npz")
SMILE = ("mouthSmileLeft", "mouthSmileRight")
BROWS_UP = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
BROWS_DOWN = ("browDownLeft", "browDownRight")
CURVES = {
    "smile": dict.fromkeys(SMILE, 1.0),
    "frown": dict.fromkeys(SMILE, -0.6) | dict.fromkeys(BROWS_DOWN, 0.3),
    "brows_up": dict.fromkeys(BROWS_UP, 1.0),
    "brows_down": dict.fromkeys(BROWS_DOWN, 1.0),
    "surprise": dict.fromkeys((*BROWS_UP, "eyeWideLeft", "eyeWideRight"), 1.0),
}
"""Coefficients by expression. The network hardly ever sees its own mouthFrown: a frown is a smile the other way."""
WITH_LIPS = ("smile", "frown")
"""The others leave the lips alone: what goes with brows there is of the people who raise them."""
FRAMES_A_CLIP = 10
STRONG = 0.99
RIDGE = 1e-2
"""Of the coefficients' variance, added to it: those that hardly vary get little."""


def faces(clips: ClipStore, photos: PhotoStore) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Offsets from what they are relative to and coefficients less those of the same, (N, 478, 3) and (N, 52)."""
    found = [photos.photo(number) for number in range(len(photos))]
    meshes = np.stack([to_canonical(p.landmarks, p.pose) for p in found])
    yield _centred(meshes)
    for clip in clips.split("train"):
        if clip.frames >= FRAMES_A_CLIP:
            frames = np.linspace(0, clip.frames - 1, FRAMES_A_CLIP).astype(int)
            yield _centred(np.asarray(clip.canonical_at(frames), np.float64))


def _centred(meshes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    curves = blendshapes(meshes)
    return meshes - meshes.mean(axis=0), curves - np.median(curves, axis=0)


def directions(clips: ClipStore, photos: PhotoStore) -> tuple[np.ndarray, np.ndarray]:
    """What each coefficient adds to the points, (52, 478, 3) pixels, and its `STRONG` quantile above the median."""
    parts = list(faces(clips, photos))
    offsets, curves = (np.concatenate(each) for each in zip(*parts, strict=True))
    centred = curves - curves.mean(axis=0)
    gram = centred.T @ centred / len(centred)
    wanted = centred.T @ offsets.reshape(len(offsets), -1) / len(centred)
    solved = np.linalg.solve(gram + RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)), wanted)
    return solved.reshape(len(NAMES), -1, 3), np.quantile(curves, STRONG, axis=0)


def symmetric(change: np.ndarray) -> np.ndarray:
    """A change (478, 3) and its mirror image's mean."""
    return (change + change[list(other_side())] * [-1, 1, 1]) / 2


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="a clip store")
    parser.add_argument("photos", type=Path, help="a photo store")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args(argv)
    store, photos = ClipStore.open(arguments.store), PhotoStore.open(arguments.photos)
    solved, strong = directions(store, photos)
    arrays = {}
    for name in EXPRESSIONS:
        rows, shares = [NAMES.index(curve) for curve in CURVES[name]], np.array(list(CURVES[name].values()))
        change = symmetric((solved[rows] * (shares * strong[rows])[:, None, None]).sum(axis=0))
        if name not in WITH_LIPS:
            change[list(LIPS)] = 0.0
        for upper, lower in INNER_LIP_PAIRS:
            change[[upper, lower], 1] = change[[upper, lower], 1].mean()
        arrays[name] = change[[*LIPS, *EYES]].astype(np.float32)
        lips, eyes = (
            np.linalg.norm(arrays[name], axis=1)[: len(LIPS)],
            np.linalg.norm(arrays[name], axis=1)[len(LIPS) :],
        )
        print(f"{name}: lips move by up to {lips.max():.1f} px, eyes and brows by {eyes.max():.1f} px")
    write_npz(arguments.output, arrays, compress=True)


if __name__ == "__main__":
    main()

"""Makes moda/package_data/average_face.npz: the mean mesh at rest of the people of a store's training clips.

python -m benchmarks.average_face data/clips
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moda.data.store import ClipStore
from moda.files import write_npz

TARGET = Path("moda/package_data/average_face.npz")


def average_face(store: ClipStore) -> np.ndarray:
    """(478, 3) float32: every person of the training split counts alike."""
    people: dict[str, list[np.ndarray]] = {}
    for clip in store.split("train"):
        people.setdefault(clip.identity, []).append(np.asarray(clip.subject, np.float64))
    return np.mean([np.mean(meshes, axis=0) for meshes in people.values()], axis=0).astype(np.float32)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", help="a clip store, or its address")
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args(argv)
    mesh = average_face(ClipStore.open(arguments.store))
    write_npz(arguments.output, {"subject": mesh}, compress=True)
    print(f"{arguments.output}: {mesh.shape}")


if __name__ == "__main__":
    main()

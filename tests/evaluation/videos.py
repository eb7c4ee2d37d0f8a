"""Stand-ins for tracked videos."""

from pathlib import Path

import numpy as np
import pytest

from moda.evaluation.evaluate import evaluate
from moda.evaluation.results import Evaluation
from moda.evaluation.tracking import content_hash, tracker_version
from moda.landmarks import LIPS
from moda.metrics import METRICS

SYNC = [name for name in METRICS if name.startswith("sync")]
"""Left out here: no audio, and a network to load."""


class Videos:
    """Stand-ins for videos: a file of unique bytes, and its track in the cache."""

    def __init__(self, root: Path) -> None:
        self.root, self.output = root, root / "out"
        (self.output / "tracks").mkdir(parents=True)

    def add(self, name: str, landmarks: np.ndarray, side: int = 512) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(name.encode())
        track = self.output / "tracks" / f"{content_hash(path)}-{tracker_version()}.npz"
        np.savez(track, landmarks=landmarks.astype(np.float32), width=side, height=side)

    def evaluate(self, *names: str) -> Evaluation:
        return evaluate(self.root / "true", {name: self.root / name for name in names}, self.output, skip=SYNC)


@pytest.fixture
def videos(tmp_path, make_face, opening) -> Videos:
    """Clips a and b; "off" has lips 5 px off, "half" has clip a only at half size, and a clip nobody knows."""
    made = Videos(tmp_path)
    for clip, values in (("a", opening), ("b", opening[::-1])):
        landmarks = make_face(values, moving=True).landmarks
        made.add(f"true/{clip}.mp4", landmarks)
        off = landmarks.copy()
        off[:, list(LIPS), :2] += [3, 4]
        made.add(f"off/{clip}.mp4", off)
        if clip == "a":
            made.add("half/a.mov", landmarks / 2, side=256)
            made.add("half/c.mp4", landmarks)
    return made

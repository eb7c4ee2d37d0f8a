"""How far the tracker agrees with itself about the lips: the ceiling of every lip figure.

Each video is read again as it stands, frame by frame, mirrored, moved and enlarged, and coded worse. The lip opening,
in shares of the face's size, should be the same each time. If the errors of two readings are independent and equal,
what predicts the true opening perfectly correlates with one reading by the square root of what two have in common:
no method can be expected to score more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.measuring import finish, parser, show
from moda.evaluation.statistics import mean_interval
from moda.imaging.crop import face_size
from moda.landmarks import lip_opening

SHIFT_PX, ENLARGED = 7, 1.06
"""Of the picture that is moved and enlarged."""
JPEG_QUALITY = 40

Change = Callable[[np.ndarray], np.ndarray]


def same(frame: np.ndarray) -> np.ndarray:
    """The frame as it is."""
    return frame


def mirrored(frame: np.ndarray) -> np.ndarray:
    """Left is right."""
    return np.ascontiguousarray(frame[:, ::-1])


def moved(frame: np.ndarray) -> np.ndarray:
    """Moved by `SHIFT_PX` and enlarged by `ENLARGED`, on a frame of the same size."""
    import cv2

    matrix = np.array([[ENLARGED, 0, SHIFT_PX], [0, ENLARGED, -SHIFT_PX]], np.float64)
    height, width = frame.shape[:2]
    return np.asarray(cv2.warpAffine(frame, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def coded(frame: np.ndarray) -> np.ndarray:
    """As a JPEG of quality `JPEG_QUALITY`."""
    import cv2

    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


READINGS: dict[str, tuple[Change, bool]] = {
    "as in preparation": (same, True),
    "single pictures": (same, False),
    "mirrored": (mirrored, True),
    "moved, enlarged": (moved, True),
    f"JPEG {JPEG_QUALITY}": (coded, True),
}
"""Name -> what is done to a frame, and whether the face is followed from frame to frame."""


def openings(frames: Iterator[np.ndarray], change: Change, video: bool) -> np.ndarray:
    """(T,) lip opening in shares of the face's size; NaN where there is no face."""
    from moda.tracking.face import FaceTracker

    found = []
    with FaceTracker(video=video) as tracker:
        for frame in frames:
            mesh = tracker.track(change(frame))
            found.append(np.nan if mesh is None else float(lip_opening(mesh[..., :2]) / face_size(mesh)))
    return np.array(found)


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation over the frames that both readings have."""
    both = np.isfinite(first) & np.isfinite(second)
    return float(np.corrcoef(first[both], second[both])[0, 1])


def compare(video: Path, frames: int) -> dict[str, float]:
    """Correlation of each reading with that of preparation, and of two means of two readings each."""
    from moda.media.video import read_frames

    read = {
        name: openings(islice(read_frames(video), frames), change, follow)
        for name, (change, follow) in READINGS.items()
    }
    plain, *others = read
    scores = {name: agreement(read[plain], read[name]) for name in others}
    pairs = read[plain] + read["mirrored"], read["moved, enlarged"] + read[f"JPEG {JPEG_QUALITY}"]
    return {**scores, "means of two readings": agreement(*pairs)}


def main(argv: list[str] | None = None) -> int:
    """Parse, do, exit code."""
    arguments = parser(__doc__)
    arguments.add_argument("videos", nargs="+", type=Path, help="talking videos, one face each")
    arguments.add_argument("--frames", type=int, default=250, help="of each video at most (default: 250)")
    options = arguments.parse_args(argv)
    scores = [compare(video, options.frames) for video in options.videos]
    rows, record = [], {}
    for name in scores[0]:
        values = np.array([each[name] for each in scores])
        interval = mean_interval(values)
        ends = f"[{interval.low:.3f}, {interval.high:.3f}]" if interval else "-"
        ceiling = float(np.sqrt(np.clip(values, 0, None)).mean())
        rows.append((name, f"{values.mean():.3f}", ends, f"{values.min():.3f}", f"{ceiling:.3f}"))
        record[name] = {"correlation": float(values.mean()), "least": float(values.min()), "ceiling": ceiling}
    show(
        f"lip opening by two readings of one video, {len(scores)} videos",
        ("reading", "correlation", "95 % interval", "least", "ceiling"),
        rows,
        "each reading against that of preparation; ceiling: mean of the square roots",
    )
    return finish({"videos": len(scores), "readings": record}, options)


if __name__ == "__main__":
    sys.exit(main())

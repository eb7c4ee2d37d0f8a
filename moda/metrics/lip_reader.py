"""LipScore: do the lips look, to a network that reads lips, as if they said the same?"""

from __future__ import annotations

import numpy as np

from moda.imaging.crop import Box, crop_square
from moda.landmarks import EYE_CORNERS, LIPS
from moda.metrics.image import luma
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric, not_asked
from moda.metrics.scripted import named, run
from moda.metrics.tracks import FaceTrack

SIDE_PX = 96
"""Side of the mouth's pictures."""
MOUTH_SIDE_EYES = 1.1
"""Side of the square around the mouth, in distances between the outer eye corners (medians over the clip)."""
WANTED = "a lip reader as TorchScript: mouths (T, 96, 96) in 0..1, grey, to (T, D)"


@metric(
    name="lip_score", label="LipScore", unit="cosine", better="higher", digits=3,
    source="form of LipScore (Bigata et al. 2025, KeySync); network and crop are the user's and ours",
    needs=("tracks", "pictures"), variant=lambda settings: named(settings.lip_weights, "network"),
)  # fmt: skip
def lip_reader_similarity(clip: ClipPair) -> Value:
    """Mean over frames of the cosine of a lip reader's values of the generated and the true mouth (grey, 96 px, a
    square of 1.1 distances between the outer eye corners around the lips).
    """
    path = clip.settings.lip_weights
    if path is None:
        return not_asked("--lip-weights FILE")
    pictures = clip.pictures
    assert not isinstance(pictures, NotAvailable)  # they are needed, so they are there
    true_boxes, boxes = mouth_boxes(clip.tracks.true), mouth_boxes(clip.tracks.generated)
    mouths = [
        [luma(crop_square(picture, box[t], SIDE_PX)) / 255 for picture, box in ((true, true_boxes), (made, boxes))]
        for t, (true, made) in enumerate(zip(pictures.true(), pictures.generated(), strict=False))
        if clip.tracks.valid[t]
    ]
    if not mouths:
        return NotAvailable("no frame with a face in both videos")
    both = (run(path, np.stack(side).astype(np.float32), WANTED) for side in zip(*mouths, strict=True))
    one, two = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in both)
    return float((one * two).sum(axis=1).mean())


def mouth_boxes(face: FaceTrack) -> dict[int, Box]:
    """The square around the mouth by frame with a face, pixels of the square frame; it may reach over the border."""
    points = face.landmarks[..., :2]
    eyes = np.linalg.norm(points[:, EYE_CORNERS[0]] - points[:, EYE_CORNERS[1]], axis=-1)
    side = round(MOUTH_SIDE_EYES * float(np.nanmedian(eyes)))
    centres = points[:, list(LIPS)].mean(axis=1)
    return {
        int(t): Box(round(centres[t, 0] - side / 2), round(centres[t, 1] - side / 2), side)
        for t in np.flatnonzero(face.tracked)
    }

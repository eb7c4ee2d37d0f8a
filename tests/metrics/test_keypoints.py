import numpy as np
import pytest

from moda.landmarks import LIPS
from moda.metrics import METRICS, ClipPair, FaceTrack, NotAvailable, PairedTracks


def measure(name: str, true: FaceTrack, generated: FaceTrack):
    return METRICS[name].measure(ClipPair(PairedTracks(true, generated)))


def test_keypoint_distances_by_hand(make_face, opening) -> None:
    true = make_face(opening, moving=True)
    moved = true.landmarks.copy()
    moved[..., :2] += [6, 8]  # 10 px of 512 are 5 of 256
    moved[3] = np.nan
    assert measure("akd", true, FaceTrack(moved)) == pytest.approx(5)
    assert measure("lmd_centred", true, FaceTrack(moved)) == pytest.approx(0, abs=1e-9)
    lips = list(LIPS)
    moved[:, lips[:20], 0] += 4  # the centre moves by 2, so every lip point is 2 px off: 1 of 256
    assert measure("lmd_centred", true, FaceTrack(moved)) == pytest.approx(1)
    nothing = FaceTrack(np.full_like(moved, np.nan))
    for name in ("akd", "lmd_centred"):
        assert measure(name, true, nothing) == NotAvailable("no frame with a face in both videos")


def test_head_diversity_of_one_video(make_face, opening) -> None:
    face = make_face(opening, moving=True)
    assert measure("head_range", face, face) == pytest.approx(face.pose.rotation.std(axis=0).mean())
    still = make_face(opening)
    assert measure("head_range", face, still) == pytest.approx(0, abs=1e-3)

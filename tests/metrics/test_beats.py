import numpy as np
import pytest

from moda.geometry import to_image
from moda.metrics import METRICS, ClipPair, FaceTrack, NotAvailable, PairedTracks
from moda.metrics.beats import beat_score, head_pauses, voice_onsets
from moda.representation import HeadPose
from tests.metrics.waves import noise


def test_score_of_moments_by_hand() -> None:
    # 0 and 0.1 s away: 1 and exp(-1/2); a pause that no beat is near costs nothing.
    assert beat_score(np.array([1.0, 2.1]), np.array([1.0, 2.0, 7.0])) == pytest.approx((1 + np.exp(-0.5)) / 2)


def test_onsets_and_pauses() -> None:
    wave = noise((0.4, 0.001), (0.4, 0.1), (0.4, 0.001), (0.4, 0.1), (0.4, 0.08))
    assert voice_onsets(wave, 50).tolist() == [10, 30]  # a rise of 40 dB at 0.4 and 1.2 s; what falls is none
    angles = np.zeros((100, 3))
    angles[:, 1] = 10 * np.sin(np.arange(100) * 2 * np.pi / 40)  # turns at frames 10, 30, 50, 70, 90
    angles[68:72] = np.nan
    assert head_pauses(angles).tolist() == [10, 30, 50, 90]


def test_alignment_of_a_face(make_face) -> None:
    angles = np.zeros((100, 3))
    angles[:, 1] = 8 * np.sin(np.arange(100) * 2 * np.pi / 40)
    canonical = np.repeat(make_face(np.full(1, 5.0)).canonical, 100, axis=0)
    face = FaceTrack(to_image(canonical, HeadPose(angles, np.full((100, 3), 250.0), np.ones(100))))
    wave = noise((0.4, 0.001), (0.3, 0.1), (0.5, 0.001), (0.3, 0.1), (2.5, 0.001))
    assert METRICS["beat_alignment"].measure(ClipPair(PairedTracks(face, face), wave)) == pytest.approx(1, abs=0.01)
    late = np.concatenate([np.zeros(8000, np.float32), wave])  # by half a second, as far as a pause can be away
    assert METRICS["beat_alignment"].measure(ClipPair(PairedTracks(face, face), late)) < 0.2
    still = FaceTrack(np.repeat(face.landmarks[:1], 100, axis=0))
    assert METRICS["beat_alignment"].measure(ClipPair(PairedTracks(still, still), wave)) == NotAvailable(
        "the head does not turn"
    )

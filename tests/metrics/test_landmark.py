import numpy as np
import pytest

from moda.landmarks import EYE_CORNERS, LIPS, OUTER_LIPS, canonical_face
from moda.metrics import METRICS, ClipPair, FaceTrack, NotAvailable, PairedTracks


def measure(name: str, true: FaceTrack, generated: FaceTrack) -> float:
    value = METRICS[name].measure(ClipPair(PairedTracks(true, generated)))
    assert not isinstance(value, NotAvailable), value.why
    return value


def why(name: str, true: FaceTrack, generated: FaceTrack) -> str:
    value = METRICS[name].measure(ClipPair(PairedTracks(true, generated)))
    assert isinstance(value, NotAvailable)
    return value.why


def moved(track: FaceTrack, points: list[int], offset: np.ndarray) -> FaceTrack:
    """A copy with offset (2,) or (T, 1, 2) added to x and y of some points."""
    landmarks = track.landmarks.copy()
    landmarks[:, points, :2] += offset
    return FaceTrack(landmarks)


def test_lips_moved_by_3_and_4_pixels_are_5_away(make_face, opening) -> None:
    true = make_face(opening)
    generated = moved(true, list(LIPS), np.array([3.0, 4.0]))
    assert measure("lmd", true, generated) == pytest.approx(5.0)
    assert measure("lmd_v", true, generated) == pytest.approx(0.0, abs=1e-12)


def test_depth_and_other_points_do_not_count(make_face, opening) -> None:
    true = make_face(opening)
    landmarks = true.landmarks.copy()
    landmarks[..., 2] += 50
    landmarks[:, 10] += 50  # the top of the forehead
    assert measure("lmd", true, FaceTrack(landmarks)) == 0.0


def test_every_second_frame_moved(make_face, opening) -> None:
    true = make_face(opening)
    there = (np.arange(len(true)) % 2)[:, None, None] * np.array([3.0, 4.0])
    generated = moved(true, list(LIPS), there)
    assert measure("lmd", true, generated) == pytest.approx(2.5)
    assert measure("lmd_v", true, generated) == pytest.approx(5.0)  # there and back at every step


def test_frames_without_a_face_are_left_out(make_face, opening) -> None:
    true = make_face(opening)
    there = (np.arange(len(true)) < 50)[:, None, None] * np.array([3.0, 4.0])
    generated = moved(true, list(LIPS), there)
    generated.landmarks[50:] = np.nan
    assert measure("lmd", true, FaceTrack(generated.landmarks)) == pytest.approx(5.0)
    assert measure("lmd_v", true, FaceTrack(generated.landmarks)) == pytest.approx(0.0, abs=1e-12)


def test_aligned_distance_ignores_the_head_and_counts_the_lips(make_face, opening) -> None:
    true = make_face(opening)
    moving = make_face(opening, moving=True)
    assert measure("lmd", true, moving) > 3
    assert measure("lmd_aligned", true, moving) == pytest.approx(0.0, abs=1e-3)
    eyes = np.linalg.norm(np.diff(true.canonical[0, list(EYE_CORNERS), :2], axis=0))
    generated = moved(true, list(LIPS), np.array([3.0, 4.0]))
    scale = true.pose.scale[0]  # image pixels a canonical pixel
    assert measure("lmd_aligned", true, generated) == pytest.approx(100 * 5 / scale / eyes, rel=1e-3)


def test_aligned_velocity_is_in_percent_of_the_true_eyes(make_face, opening) -> None:
    """Lips that hop by 5 pixels once in a hundred frames; the generated eyes, farther apart, are no measure."""
    true = make_face(opening)
    eyes = np.linalg.norm(np.diff(true.canonical[0, list(EYE_CORNERS), :2], axis=0))
    hop = (np.arange(len(true)) >= 31)[:, None, None] * np.array([3.0, 4.0])
    generated = moved(moved(true, list(LIPS), hop), [EYE_CORNERS[1]], np.array([40.0, 0.0]))
    a_frame = 5 / (len(true) - 1)
    assert measure("lmd_v", true, generated) == pytest.approx(a_frame)
    lips, true_lips = (face.canonical[:, list(LIPS), :2] for face in (generated, true))
    wanted = 100 * np.linalg.norm(np.diff(lips - true_lips, axis=0), axis=-1).mean() / eyes
    assert measure("lmd_v_aligned", true, generated) == pytest.approx(wanted, rel=1e-6)
    still = moved(true, list(LIPS), hop)
    assert measure("lmd_v_aligned", true, still) == pytest.approx(100 * a_frame / true.pose.scale[0] / eyes, rel=1e-3)


def test_mouth_area_of_two_squares(make_face) -> None:
    true = make_face(np.zeros(3))
    outline = np.array([[0, 0]] * 5 + [[10, 0]] * 5 + [[10, 10]] * 5 + [[0, 10]] * 5, float)  # 20 points, 4 corners
    true.landmarks[:, list(OUTER_LIPS), :2] = outline
    generated = moved(true, list(OUTER_LIPS), np.array([[[5.0, 0]], [[0, 0]], [[20, 0]]]))
    assert measure("ma", true, generated) == pytest.approx((50 / 150 + 1 + 0) / 3)


def test_correlation_follows_opening_not_head(make_face, opening) -> None:
    true, generated = make_face(opening), make_face(opening, moving=True)
    assert measure("lip_corr", true, generated) == pytest.approx(1.0, abs=1e-4)
    other = 12 + np.random.default_rng(5).normal(size=len(opening))
    wanted = np.corrcoef(opening, other)[0, 1]
    assert measure("lip_corr", true, make_face(other, moving=True)) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("lag", [-10, -3, 0, 4, 10])
def test_best_lag_is_positive_when_the_generated_lips_are_late(make_face, opening, lag) -> None:
    later = np.roll(opening, lag)
    true, generated = make_face(opening), make_face(later)
    assert measure("lip_lag", true, generated) == lag
    assert measure("lip_corr_best", true, generated) == pytest.approx(1.0, abs=1e-4)
    if lag:
        assert measure("lip_corr", true, generated) < 0.9


def test_opening_ratio_is_the_ratio_of_spreads(make_face, opening) -> None:
    half = opening.mean() + 0.5 * (opening - opening.mean())
    assert measure("opening_ratio", make_face(opening), make_face(half, moving=True)) == pytest.approx(0.5, abs=1e-3)


def test_opening_ratio_is_of_the_frames_in_which_both_are_seen(make_face, opening) -> None:
    wild = opening.copy()
    wild[60:] = 5 + 30 * (np.arange(len(opening) - 60) % 2)
    true, generated = make_face(opening), make_face(wild)
    true.landmarks[60:] = np.nan
    assert measure("opening_ratio", FaceTrack(true.landmarks), generated) == pytest.approx(1.0, abs=1e-3)


def test_jitter_of_a_face_that_hops(make_face) -> None:
    true = make_face(np.zeros(9))
    rigid = canonical_face().rigid.tolist()
    hop = (np.arange(9) % 2)[:, None, None] * np.array([3.0, 4.0])  # second difference 2 * (3, 4)
    assert measure("jitter", true, moved(true, rigid, hop)) == pytest.approx(10.0)
    steady = np.arange(9)[:, None, None] * np.array([3.0, 4.0])
    assert measure("jitter", true, moved(true, rigid, steady)) == pytest.approx(0.0, abs=1e-9)


def test_what_cannot_be_computed_has_a_reason(make_face, opening) -> None:
    talking, still = make_face(opening), make_face(np.full(100, 5.0), moving=True)
    assert why("lip_corr", talking, still) == "the lips do not move"
    assert why("lip_lag", talking, still) == "the lips do not move"
    assert why("opening_ratio", still, talking) == "the true lips do not move"
    short = talking.cut(0, 20)
    assert "fewer than 25 frames" in why("lip_corr", short, short)
    assert "fewer than 25 frames" in why("opening_ratio", short, short)
    assert "shorter than 35 frames" in why("lip_corr_best", talking.cut(0, 30), talking.cut(0, 30))
    one = talking.cut(0, 1)
    assert "neighbouring" in why("lmd_v", one, one)
    assert "neighbouring" in why("jitter", one, one)
    blind = FaceTrack(np.full((100, 478, 3), np.nan))
    for name in METRICS:
        assert why(name, talking, blind)

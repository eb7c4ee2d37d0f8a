import numpy as np
import pytest

from moda.evaluation.controls import CONTROLS, ControlClip, OtherClip
from moda.landmarks import LIPS
from moda.metrics import METRICS, ClipPair, FaceTrack, NotAvailable, PairedTracks


def control(name: str, true: FaceTrack, other: OtherClip | None = None) -> ControlClip:
    made = CONTROLS[name](true, other)
    assert isinstance(made, ControlClip), made
    return made


def scores(pair: PairedTracks) -> dict[str, float | NotAvailable]:
    return {name: metric.measure(ClipPair(pair)) for name, metric in METRICS.items()}


def test_ground_truth_is_perfect(make_face, opening) -> None:
    found = scores(control("ground truth", make_face(opening, moving=True)).tracks)
    assert found["lmd"] == found["lmd_v"] == found["lmd_aligned"] == found["lip_lag"] == 0
    assert found["ma"] == pytest.approx(1.0) and found["lip_corr"] == pytest.approx(1.0)
    assert found["opening_ratio"] == pytest.approx(1.0)


def test_still_mouth_keeps_the_head_and_stops_the_lips(make_face, opening) -> None:
    true = make_face(opening, moving=True)
    made = control("still mouth", true)
    pair = made.tracks
    assert made.start is None  # no pictures
    found = scores(pair)
    assert found["opening_ratio"] == pytest.approx(0.0, abs=1e-9)
    assert found["lip_corr"] == NotAvailable("the lips do not move")
    assert found["jitter"] == METRICS["jitter"].measure(ClipPair(PairedTracks(true, true)))
    assert pair.generated.opening == pytest.approx(np.median(true.opening), rel=1e-6)
    assert 0 < found["lmd"] < 5


def test_the_first_frames_mouth_is_all_that_a_picture_tells(make_face, opening) -> None:
    true = make_face(opening, moving=True)
    true.landmarks[:3] = np.nan
    made = control("first frame's mouth", true).tracks.generated
    lips = made.canonical[:, list(LIPS)]
    assert np.isnan(lips[:3]).all()
    np.testing.assert_allclose(lips[3:], np.broadcast_to(true.canonical[3, list(LIPS)], lips[3:].shape), atol=1e-3)
    others = np.setdiff1d(np.arange(478), LIPS)
    assert np.array_equal(made.landmarks[3:, others], true.landmarks[3:, others])
    true.landmarks[:] = np.nan
    assert CONTROLS["first frame's mouth"](FaceTrack(true.landmarks), None) == NotAvailable("no face in the true video")


def test_motion_is_measured_whatever_the_shape_at_rest(make_face, opening) -> None:
    true = make_face(opening, moving=True)
    other = true.landmarks.copy()
    other[:, list(LIPS)] += np.random.default_rng(0).normal(
        0, 5, (40, 3)
    )  # a shape of its own that moves as the true one
    plain = make_face(opening)
    same = PairedTracks(plain, FaceTrack(plain.landmarks + (other - true.landmarks)))
    found = scores(same)
    assert found["lmd_motion"] < 0.05 * found["lmd_aligned"]
    still, first = (scores(control(name, true).tracks) for name in ("still mouth", "first frame's mouth"))
    assert still["lmd_motion"] == pytest.approx(first["lmd_motion"]) and still["lmd_aligned"] < first["lmd_aligned"]


@pytest.mark.parametrize(("name", "frames"), [("truth shifted 0.2 s", 5), ("truth shifted 1 s", 25)])
def test_shifted_truth_pairs_frame_t_with_a_later_one(make_face, opening, name, frames) -> None:
    true = make_face(opening, moving=True)
    made = control(name, true)
    assert len(made.tracks) == 100 - frames and made.start == frames
    assert np.array_equal(made.tracks.generated.landmarks[0], true.landmarks[frames])
    assert np.array_equal(made.tracks.true.landmarks[0], true.landmarks[0])
    assert scores(made.tracks)["lip_corr"] < 0.7
    assert isinstance(CONTROLS[name](true.cut(0, frames), None), NotAvailable)


def test_another_clips_mouth_moves_as_there_in_the_head_that_is_here(make_face, opening) -> None:
    true, lender = make_face(opening, moving=True), make_face(20 + opening[::-1][:80])  # mouth wider open at rest
    made = control("other clip's mouth", true, OtherClip("b", lender, True))
    pair = made.tracks
    assert len(pair) == 80 and made.start is None
    assert made.notes == ("the mouth is that of b (another person's), 80 frames",)
    moved = pair.generated.opening - np.median(pair.generated.opening)
    assert moved == pytest.approx(lender.opening - np.median(lender.opening), abs=1e-3)
    assert np.median(pair.generated.opening) == pytest.approx(np.median(true.opening[:80]), abs=0.2)  # this one's rest
    others = np.setdiff1d(np.arange(478), LIPS)
    assert np.array_equal(pair.generated.landmarks[:, others], true.landmarks[:80][:, others])
    assert abs(scores(pair)["lip_corr"]) < 0.5


def test_another_clips_mouth_where_there_is_none(make_face, opening) -> None:
    true = make_face(opening)
    assert CONTROLS["other clip's mouth"](true, None) == NotAvailable(
        "no other clip of another person with a tracked face"
    )
    short = CONTROLS["other clip's mouth"](true, OtherClip("b", true.cut(0, 24), False))
    assert short == NotAvailable("only 24 frames in common with the clip b, wanted 25")
    holes = make_face(opening)
    holes.landmarks[10:20] = np.nan
    pair = control("other clip's mouth", true, OtherClip("b", holes, False)).tracks
    assert np.flatnonzero(~pair.valid).tolist() == list(range(10, 20))


def test_still_mouth_and_jumps_where_no_face_was_found(make_face, opening) -> None:
    true = make_face(opening, moving=True)
    true.landmarks[40:43] = np.nan
    pair = control("still mouth", true).tracks
    assert pair.valid.sum() == 97 and np.isnan(pair.generated.landmarks[41]).all()

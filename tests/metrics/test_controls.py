import numpy as np
import pytest

from moda.metrics import METRICS, ClipPair, NotAvailable, PairedTracks
from moda.metrics.controls import CONTROLS


def scores(pair: PairedTracks | NotAvailable) -> dict[str, float | NotAvailable]:
    assert not isinstance(pair, NotAvailable)
    return {name: metric.measure(ClipPair(pair)) for name, metric in METRICS.items()}


def test_ground_truth_is_perfect(make_face, opening) -> None:
    found = scores(CONTROLS["ground truth"](make_face(opening, moving=True)))
    assert found["lmd"] == found["lmd_v"] == found["lmd_aligned"] == found["lip_lag"] == 0
    assert found["ma"] == pytest.approx(1.0) and found["lip_corr"] == pytest.approx(1.0)
    assert found["opening_ratio"] == pytest.approx(1.0)


def test_still_mouth_keeps_the_head_and_stops_the_lips(make_face, opening) -> None:
    true = make_face(opening, moving=True)
    pair = CONTROLS["still mouth"](true)
    found = scores(pair)
    assert found["opening_ratio"] == pytest.approx(0.0, abs=1e-9)
    assert found["lip_corr"] == NotAvailable("the lips do not move")
    assert found["jitter"] == METRICS["jitter"].measure(ClipPair(PairedTracks(true, true)))
    assert pair.generated.opening == pytest.approx(np.median(true.opening), rel=1e-6)
    assert 0 < found["lmd"] < 5


def test_shifted_truth_pairs_frame_t_with_t_plus_a_second(make_face, opening) -> None:
    true = make_face(opening, moving=True)
    pair = CONTROLS["truth shifted 1 s"](true)
    assert len(pair) == 75
    assert np.array_equal(pair.generated.landmarks[0], true.landmarks[25])
    assert np.array_equal(pair.true.landmarks[0], true.landmarks[0])
    assert scores(pair)["lip_corr"] < 0.7
    assert isinstance(CONTROLS["truth shifted 1 s"](true.cut(0, 25)), NotAvailable)


def test_still_mouth_and_jumps_where_no_face_was_found(make_face, opening) -> None:
    true = make_face(opening, moving=True)
    true.landmarks[40:43] = np.nan
    pair = CONTROLS["still mouth"](true)
    assert pair.valid.sum() == 97 and np.isnan(pair.generated.landmarks[41]).all()

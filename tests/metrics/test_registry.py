import numpy as np
import pytest

from moda.metrics import METRICS, FaceTrack, NotAvailable, PairedTracks, metric


def test_registered_names_and_directions() -> None:
    assert {name: m.better for name, m in METRICS.items()} == {
        "lmd": "lower",
        "lmd_v": "lower",
        "lmd_aligned": "lower",
        "ma": "higher",
        "lip_corr": "higher",
        "lip_corr_best": "higher",
        "lip_lag": "zero",
        "opening_ratio": "one",
        "jitter": "lower",
    }
    assert all(m.definition and m.unit and m.version >= 1 for m in METRICS.values())


def test_a_new_metric_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moda.metrics.registry.METRICS", registered := {})

    @metric(name="frames", label="frames", unit="frames", better="higher", version=1)
    def frames(pair: PairedTracks) -> float | NotAvailable:
        """Number of frames.

        Not part of the definition.
        """
        return float(len(pair)) if len(pair) < 3 else float("inf")

    assert registered["frames"].definition == "Number of frames."
    two, three = (FaceTrack(np.zeros((n, 478, 3))) for n in (2, 3))
    assert registered["frames"].measure(PairedTracks(two, two)) == 2.0
    assert isinstance(registered["frames"].measure(PairedTracks(three, three)), NotAvailable)  # not finite
    with pytest.raises(ValueError, match="registered twice"):
        metric(name="frames", label="", unit="", better="higher", version=1)(frames)
    with pytest.raises(ValueError, match="docstring"):
        metric(name="other", label="", unit="", better="higher", version=1)(lambda pair: 0.0)

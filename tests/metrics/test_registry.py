import numpy as np
import pytest

from moda.errors import MediaError
from moda.metrics import METRICS, ClipPair, FaceTrack, MetricSettings, NotAvailable, PairedTracks, metric


def clip_of(frames: int) -> ClipPair:
    track = FaceTrack(np.zeros((frames, 478, 3)))
    return ClipPair(PairedTracks(track, track))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> dict:
    """An empty registry."""
    monkeypatch.setattr("moda.metrics.registry.METRICS", found := {})
    return found


def test_every_metric_has_a_definition() -> None:
    landmark = [
        "lmd",
        "lmd_v",
        "lmd_aligned",
        "lmd_motion",
        "lmd_v_aligned",
        "ma",
        "lip_corr",
        "lip_corr_best",
        "lip_lag",
    ]
    assert list(METRICS)[: len(landmark)] == landmark
    assert METRICS["lip_lag"].better == "zero" and METRICS["opening_ratio"].better == "one"
    assert all(m.definition and m.unit and m.source and m.version >= 1 for m in METRICS.values())


def test_a_new_metric_is_one_function(registered) -> None:
    @metric(name="frames", label="frames", unit="frames", better="higher", version=1, source="here")
    def frames(clip: ClipPair) -> float | NotAvailable:
        """Number of frames.

        Not part of the definition.
        """
        return float(len(clip)) if len(clip) < 3 else float("inf")

    assert registered["frames"].definition == "Number of frames."
    assert registered["frames"].measure(clip_of(2)) == 2.0
    assert isinstance(registered["frames"].measure(clip_of(3)), NotAvailable)  # not finite
    with pytest.raises(ValueError, match="registered twice"):
        metric(name="frames", label="", unit="", better="higher", version=1, source="here")(frames)
    with pytest.raises(ValueError, match="docstring"):
        metric(name="other", label="", unit="", better="higher", version=1, source="here")(lambda clip: 0.0)
    with pytest.raises(ValueError, match="no source"):
        metric(name="other", label="", unit="", better="higher", version=1, source="")(frames)
    with pytest.raises(ValueError, match="needs"):
        metric(name="other", label="", unit="", better="higher", version=1, source="here", needs=("luck",))(frames)


@pytest.mark.parametrize(
    ("need", "why"),
    [
        ("frame", "the head is elsewhere"),
        ("pictures", "no pictures"),
        ("audio", "no audio in either video"),
        ("samples", "one sample only, no seeds to compare"),
        ("generation", "not recorded when these videos were made"),
    ],
)
def test_a_need_that_is_not_met_is_reported_and_the_metric_not_called(registered, need, why) -> None:
    @metric(name="asks", label="", unit="", better="none", version=1, source="here", needs=("tracks", need))
    def asks(clip: ClipPair) -> float:
        """Fails when it is called."""
        raise AssertionError(need)

    clip = ClipPair(clip_of(5).tracks, other_framing="the head is elsewhere")
    assert registered["asks"].measure(clip) == NotAvailable(why)


def test_a_failure_people_can_mend_is_the_cell_and_a_defect_is_not_hidden(registered) -> None:
    for name, error in (("people", MediaError("cannot\nread it")), ("defect", IndexError("oops"))):

        def fails(clip: ClipPair, error: Exception = error) -> float:
            """Fails."""
            raise error

        metric(name=name, label="", unit="", better="none", version=1, source="here")(fails)
    assert registered["people"].measure(clip_of(5)) == NotAvailable("cannot read it")
    with pytest.raises(IndexError):
        registered["defect"].measure(clip_of(5))


def test_the_key_changes_with_version_and_variant(registered) -> None:
    def one(clip: ClipPair) -> float:
        """One."""
        return 1.0

    metric(name="plain", label="", unit="", better="none", version=3, source="here")(one)
    metric(
        name="varied", label="", unit="", better="none", version=3, source="here",
        variant=lambda settings: "theirs" if settings.sync_weights else "ours",
    )(one)  # fmt: skip
    assert registered["plain"].key(MetricSettings()) == "3"
    assert registered["varied"].key(MetricSettings()) == "3 ours"

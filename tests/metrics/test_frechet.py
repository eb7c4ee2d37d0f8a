import numpy as np
import pytest
from scipy.linalg import sqrtm

from moda.metrics import SET_METRICS, ClipPair, ClipSet, MetricSettings, NotAvailable, PairedTracks
from moda.metrics.frechet import frechet
from moda.metrics.samples import shape_rows
from moda.moments import Moments


def test_distance_of_gaussians_by_hand_and_by_scipy() -> None:
    generator = np.random.default_rng(0)
    one, two = generator.normal(size=(200, 4)), generator.normal(1, 2, size=(150, 4)) @ generator.normal(size=(4, 4))
    covariances = np.cov(one.T), np.cov(two.T)
    wanted = ((one.mean(axis=0) - two.mean(axis=0)) ** 2).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real
    )
    assert frechet(Moments.of(one, scatter=True), Moments.of(two, scatter=True)) == pytest.approx(wanted)
    # Of one number: (difference of means)^2 + (difference of deviations)^2; 0, 2 and 3, 7: means 1, 5.
    pair = (Moments.of(np.array([[0.0], [2.0]]), scatter=True), Moments.of(np.array([[3.0], [7.0]]), scatter=True))
    assert frechet(*pair) == pytest.approx(16 + (np.sqrt(8) - np.sqrt(2)) ** 2)
    assert frechet(pair[0], pair[0]) == pytest.approx(0, abs=1e-9)


def test_shapes_are_percent_of_the_eyes(make_face, opening) -> None:
    face = make_face(opening, moving=True)
    rows = shape_rows(ClipPair(PairedTracks(face, face)))
    assert isinstance(rows, np.ndarray) and rows.shape == (20, 25)
    eyes = np.linalg.norm(face.canonical[0, 33] - face.canonical[0, 263])
    # All nine inner pairs are `opening` apart, but for noise of the alignment.
    assert rows[:, :9] == pytest.approx(
        np.repeat(100 * np.abs(opening[::5, None]) / eyes, 9, axis=1), rel=0.01, abs=0.1
    )


def test_rows_of_all_clips_that_both_have(tmp_path) -> None:
    generator = np.random.default_rng(1)
    files = {}
    for name in ("a", "b", "true_a", "true_b"):
        files[name] = tmp_path / f"{name}.npz"
        np.savez(files[name], rows=generator.normal(size=(30, 3)).astype(np.float32))
    missing = NotAvailable("no frame with a face")
    samples = {"shape": {"a": files["a"], "b": files["b"], "c": missing}}
    true = {"shape": {"a": files["true_a"], "b": files["true_b"], "c": files["true_a"]}}
    clips = ClipSet(("a", "b", "c"), {}, {}, MetricSettings(), samples, true)
    rows = [np.concatenate([np.load(files[f"{side}{c}"])["rows"] for c in "ab"]) for side in ("", "true_")]
    wanted = frechet(*(Moments.of(part, scatter=True) for part in rows))
    assert SET_METRICS["shape_frechet"].measure(clips, clips.whole()) == pytest.approx([wanted])
    none = ClipSet(("c",), {}, {}, MetricSettings(), samples, true)
    assert SET_METRICS["shape_frechet"].measure(none, none.whole()) == missing

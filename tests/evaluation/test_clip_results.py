"""Results of clips are kept, small in memory, and written without being in memory whole."""

import importlib
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moda.errors import ConfigError
from moda.evaluation.report.records import write_report
from moda.evaluation.results import ClipScore, ClipValues, Evaluation, MethodScores
from moda.metrics import METRICS, MetricSettings, NotAvailable
from moda.metrics.registry import reason

evaluate_module = importlib.import_module("moda.evaluation.evaluate")


def kept(output: Path) -> list[Path]:
    return sorted((output / "cache").glob("clip-*.json"))


@pytest.fixture
def scored(monkeypatch) -> list[str]:
    """Clips that are scored anew, as they are."""
    clips: list[str] = []
    score_clip = evaluate_module.score_clip
    monkeypatch.setattr(evaluate_module, "score_clip", lambda job: clips.append(job.clip) or score_clip(job))
    return clips


def test_kept_results_are_those_that_were_kept(videos, scored, tmp_path) -> None:
    first, again = videos.evaluate("off"), videos.evaluate("off")
    assert scored == ["a", "b"]
    for row, same in zip(first.rows, again.rows, strict=True):
        assert (row.refused, row.overall, list(row.scores)) == (same.refused, same.overall, list(same.scores))
        for clip, score in row.scores.items():
            other = same.scores[clip]
            assert dict(score.values) == dict(other.values) and score.samples == other.samples
            assert (score.frames, score.notes, score.strip) == (other.frames, other.notes, other.strip)
            assert (score.opening is None) == (row.control and row.name != "ground truth")
            if score.opening is not None:
                np.testing.assert_array_equal(score.opening, other.opening)
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
    texts = [
        {path.name: path.read_text() for path in write_report(each, tmp_path / name) if path.name != "scores.json"}
        for name, each in (("first", first), ("again", again))
    ]
    assert texts[0] == texts[1]


def test_what_differs_is_scored_again(videos, scored, make_face, opening) -> None:
    videos.evaluate("off")
    del scored[:]
    videos.add("other/a.mp4", make_face(opening + 1, moving=True).landmarks)
    videos.evaluate("off", "other")
    assert scored == ["a"]  # of b nothing is new
    del scored[:]
    videos.evaluate("other")
    assert scored == ["a"] and len(kept(videos.output)) == 2 + 1 + 1
    for path in kept(videos.output):
        path.write_text("{")
    del scored[:]
    videos.evaluate("off")
    assert scored == ["a", "b"]
    for path in (videos.output / "cache").glob("*shape*.npz"):
        path.unlink()
    del scored[:]
    videos.evaluate("off")
    assert scored == ["a", "b"]


def test_what_may_be_otherwise_in_the_next_call_is_not_kept(videos, monkeypatch) -> None:
    def absent(clip):
        raise ConfigError("a package is not installed")

    with monkeypatch.context() as patched:
        patched.setitem(METRICS, "lmd", replace(METRICS["lmd"], compute=absent))
        assert videos.evaluate("off").methods[0].missing("lmd") == dict.fromkeys("ab", "a package is not installed")
        assert not kept(videos.output)
    assert videos.evaluate("off").methods[0].values("lmd") == pytest.approx([5, 5], abs=1e-3)
    assert len(kept(videos.output)) == 2


def test_values_are_a_mapping() -> None:
    given = {"a": 1.5, "b": NotAvailable("why"), "c": -2.0, "d": NotAvailable("other", lasting=False)}
    values = ClipValues(given)
    assert dict(values) == given and len(values) == 4 and "e" not in values
    assert not values["d"].lasting and values["b"].lasting  # type: ignore[union-attr]
    same = ClipValues(given | {"b": NotAvailable("why", lasting=False)})
    assert not same["b"].lasting  # type: ignore[union-attr]
    copy = pickle.loads(pickle.dumps(values))
    assert dict(copy) == given and copy["b"] is pickle.loads(pickle.dumps(NotAvailable("why"))) is reason("why", True)


def test_a_report_of_many_clips_needs_little_memory(tmp_path) -> None:
    clips, names = 1000, list(METRICS)[:40]
    generator = np.random.default_rng(0)

    def row(name: str, control: bool) -> MethodScores:
        made = MethodScores(name, control)
        for number in range(clips):
            values = dict(zip(names, generator.normal(size=len(names)).tolist(), strict=True))
            made.scores[f"clip{number:04d}"] = ClipScore(ClipValues(values), 50)
        return made

    tracemalloc.start()
    try:
        rows = [row("ground truth", True), row("a", False)]
        held = tracemalloc.get_traced_memory()[0]
        assert held / (2 * clips) < 700  # 8 bytes a value, and the rest of a clip
        found = Evaluation(
            Path("true"),
            {"a": Path("a")},
            rows,
            list(rows[0].scores),
            [],
            {n: METRICS[n] for n in names},
            {},
            MetricSettings(),
        )
        write_report(found, tmp_path)
        tracemalloc.reset_peak()
        write_report(found, tmp_path)  # once more: the first call loads packages
        more = tracemalloc.get_traced_memory()[1] - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert more < 0.5 * (tmp_path / "scores.json").stat().st_size

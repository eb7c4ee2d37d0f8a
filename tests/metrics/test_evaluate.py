"""Evaluation and its report on tracks that are kept already, so no tracker runs (tests/cli does that)."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from moda.errors import DataError, OutputError
from moda.landmarks import LIPS
from moda.metrics import METRICS
from moda.metrics.evaluate import evaluate
from moda.metrics.table import clips_text, table_text, write_report
from moda.metrics.tracking import content_hash, tracker_version

CONTROLS = ["ground truth", "still mouth", "truth shifted 1 s"]


class Videos:
    """Stand-ins for videos: a file of unique bytes, and its track in the cache."""

    def __init__(self, root: Path) -> None:
        self.root, self.output = root, root / "out"
        (self.output / "tracks").mkdir(parents=True)

    def add(self, name: str, landmarks: np.ndarray, side: int = 512) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
        track = self.output / "tracks" / f"{content_hash(path)}-{tracker_version()}.npz"
        np.savez(track, landmarks=landmarks.astype(np.float32), width=side, height=side)

    def evaluate(self, *names: str):
        return evaluate(self.root / "true", {name: self.root / name for name in names}, self.output)


@pytest.fixture
def videos(tmp_path, make_face, opening) -> Videos:
    """Clips a and b; "off" has lips 5 px off, "half" has clip a only at half size, and a clip nobody knows."""
    made = Videos(tmp_path)
    for clip, values in (("a", opening), ("b", opening[::-1])):
        landmarks = make_face(values, moving=True).landmarks
        made.add(f"true/{clip}.mp4", landmarks)
        off = landmarks.copy()
        off[:, list(LIPS), :2] += [3, 4]
        made.add(f"off/{clip}.mp4", off)
        if clip == "a":
            made.add("half/a.mov", landmarks / 2, side=256)
            made.add("half/c.mp4", landmarks)
    return made


def test_every_row_and_every_refusal(videos) -> None:
    result = videos.evaluate("off", "half")
    rows = {row.name: row for row in result.rows}
    assert list(rows) == ["off", "half", *CONTROLS]
    assert rows["off"].values("lmd") == pytest.approx([5.0, 5.0], abs=1e-4)
    assert rows["half"].values("lmd") == pytest.approx([0.0], abs=1e-3)
    assert rows["half"].refused == {"b": "no generated video of this name", "c": "no true video of this name"}
    assert rows["ground truth"].values("ma") == [1.0, 1.0]
    assert not result.complete and videos.evaluate("off").complete


def test_the_three_files(videos) -> None:
    result = videos.evaluate("off", "half")
    table, clips, scores = (path.read_text() for path in write_report(result, videos.output))
    assert sorted(path.name for path in videos.output.iterdir()) == ["clips.csv", "scores.json", "table.md", "tracks"]
    assert "| off " in table and "- half, c: no true video of this name" in table
    assert "- half, a: other resolution: generated 256x256, true 512x512" in table
    assert all(metric.definition in table for metric in METRICS.values())

    rows = list(csv.DictReader(clips.splitlines()))
    assert len(rows) == 2 + 3 + 3 * 2
    assert rows[0]["clip"] == "a" and float(rows[0]["lmd"]) == pytest.approx(5.0, abs=1e-4)
    still = next(row for row in rows if row["name"] == "still mouth")
    assert still["lip_corr"] == "not available: the lips do not move"
    refused = next(row for row in rows if row["name"] == "half" and row["clip"] == "c")
    assert refused["notes"] == "not scored: no true video of this name"

    record = json.loads(scores)
    assert record["metrics"]["opening_ratio"]["better"] == "one" and record["metrics"]["lmd"]["version"] == 1
    assert list(record["controls"]) == CONTROLS
    assert record["methods"]["off"]["metrics"]["lmd"]["mean"] == pytest.approx(5.0, abs=1e-4)
    correlation = record["controls"]["still mouth"]["metrics"]["lip_corr"]
    assert correlation == {
        "mean": None,
        "n": 0,
        "clips": {},
        "not_available": dict.fromkeys("ab", "the lips do not move"),
    }


def test_cells_say_why_and_how_many(videos, make_face, opening) -> None:
    videos.add("part/a.mp4", make_face(np.full(100, 9.0), moving=True).landmarks)  # a mouth that does not move
    videos.add("part/b.mp4", make_face(opening[::-1], moving=True).landmarks)
    videos.add("none/a.mp4", np.full((100, 478, 3), np.nan))
    result = videos.evaluate("part", "none")
    rows = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]]
        for line in table_text(result).split("\n")
    }
    correlation = 1 + list(METRICS).index("lip_corr")
    assert rows["part"][0] == "2" and rows["part"][correlation] == "1.00 (n=1)"
    assert rows["part"][1] != "" and "(n=" not in rows["part"][1]
    assert rows["none"][0] == "0 of 2" and set(rows["none"][1:]) == {
        "not available: no clip could be scored, see Not scored"
    }
    assert rows["*still mouth*"][correlation] == "not available: the lips do not move (2 clips)"
    assert "no face in 100 of 100 frames" in clips_text(result)


def test_a_truth_that_all_methods_find_late_is_remarked_on(videos, make_face, opening) -> None:
    for name, lag in (("one", -4), ("two", -5)):
        videos.add(f"{name}/a.mp4", make_face(np.roll(opening, lag), moving=True).landmarks)
    remarks = videos.evaluate("one", "two").remarks
    assert len(remarks) == 1
    assert "at lags of -5 to -4 frames: the true video may itself be late by about 4 frames" in remarks[0]
    assert videos.evaluate("off", "one", "two").remarks == []  # one method is in step


def test_two_videos_of_one_name_are_not_guessed_between(videos) -> None:
    (videos.root / "off" / "b.mov").write_bytes(b"which?")
    row = videos.evaluate("off").rows[0]
    assert list(row.scores) == ["a"] and row.refused["b"].startswith("several videos of this name: b.mov, b.mp4")


def test_mistakes(videos, tmp_path) -> None:
    videos.add("stranger/z.mp4", np.ones((3, 478, 3)))
    with pytest.raises(DataError, match=r"no pairs: no file stem of .*stranger \(z\) is one of .*true \(a, b\)"):
        videos.evaluate("stranger")
    with pytest.raises(DataError, match="no such folder"):
        videos.evaluate("gone")
    with pytest.raises(DataError, match="name at least one folder"):
        videos.evaluate()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        evaluate(tmp_path / "true", {"off": tmp_path / "off"}, tmp_path / "file" / "out")

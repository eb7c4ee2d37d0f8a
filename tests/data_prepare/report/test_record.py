"""The record of a run."""

from __future__ import annotations

import json

from data_prepare.options import Options
from data_prepare.report.record import Report, ReportRow
from data_prepare.scan.shots import Shot
from data_prepare.sources.folder import SourceVideo
from data_prepare.splits import Splits
from data_prepare.worker import ClipResult, Task
from moda.imaging.crop import Box

SPLITS = Splits({"train": ["a_000"], "val": [], "test": []}, {"ann": "train"}, ("a note",))


def outcome(tmp_path, clip_id, status, shot=None, **named):
    source = SourceVideo(tmp_path / "a.mp4", tmp_path, "a.mp4", "a", "ann")
    return ClipResult(Task(tmp_path, source, Options(), clip_id, shot), status, **named)


def test_rows_counts_and_what_is_written(tmp_path):
    shot = Shot(25, 90, Box(0, 0, 64))
    record = {"frames": 60, "quality": {"tracked": 1.0}, "offset": None, "has_audio": True, "span": [27, 87]}
    (tmp_path / "clips" / "a_000").mkdir(parents=True)
    (tmp_path / "clips" / "a_000" / "preview.jpg").write_bytes(b"x")
    (tmp_path / "scans").mkdir()
    rows = [ReportRow.of(tmp_path, outcome(tmp_path, "a_000", "kept", shot), record, "train")]
    rows.append(
        ReportRow.of(tmp_path, outcome(tmp_path, "a_001", "rejected", shot, reason="why", step="audio"), {}, "")
    )
    assert (rows[0].preview, rows[1].preview) == ("clips/a_000/preview.jpg", "")
    (tmp_path / "scans" / "a.jpg").write_bytes(b"x")
    rows.append(ReportRow.of(tmp_path, outcome(tmp_path, "a", "failed", reason="full", step="scan"), {}, ""))
    assert rows[2].preview == "scans/a.jpg" and rows[2].shot is None
    assert (
        rows[0].shot == (1.08, 3.48)
        and rows[1].shot == (1.0, 3.6)
        and rows[0].split == "train"
        and rows[0].frames == 60
    )

    report = Report(tuple(rows), SPLITS, (("b", "no video"),), Options(), 12.5)
    assert report.counts == {"kept": 1, "rejected": 1, "failed": 1} and report.frames == 60
    assert not report.complete and Report(tuple(rows[:2]), SPLITS, (), Options(), 1.0).complete
    written = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert written["totals"] == {
        "videos": 1, "clips": 3, "kept": 1, "rejected": 1, "failed": 1, "missing": 1, "frames": 60, "minutes": 0.04,
    }  # fmt: skip
    assert written["missing"] == [{"id": "b", "reason": "no video"}]
    assert written["clips"][1] | {"quality": None} == written["clips"][1]
    assert (written["clips"][1]["reason"], written["clips"][1]["step"]) == ("why", "audio")
    assert written["notes"] == ["a note"] and written["identities"] == {"train": 1, "val": 0, "test": 0}
    assert written["splits"] == {"train": 1, "val": 0, "test": 0} and written["settings"]["size"] == 512


def test_two_runs_that_end_alike_are_written_alike(tmp_path):
    def text(seconds):
        row = ReportRow.of(tmp_path, outcome(tmp_path, "a", "rejected", reason="why", seconds=seconds), {}, "")
        return json.dumps(Report((row,), SPLITS, (), Options(), seconds).as_json())

    assert text(1.0) == text(2.0)

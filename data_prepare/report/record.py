"""The result of every video: the record behind report.json and report.html.

It holds nothing that differs between two runs with the same result: no times, no order of work.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_prepare.options import Options
from data_prepare.splits import Splits
from data_prepare.worker import ClipResult
from moda.representation import FPS

STATUSES = ("kept", "rejected", "failed")


@dataclass(frozen=True)
class ReportRow:
    """One clip, or a video that gave none. shot: seconds of the source that it shows; frames: kept ones."""

    id: str
    source: str
    identity: str
    status: str
    reason: str
    step: str
    frames: int
    shot: tuple[float, float] | None
    split: str
    quality: dict[str, float] | None
    offset: dict[str, Any] | None
    has_audio: bool
    preview: str

    @staticmethod
    def of(out: Path, outcome: ClipResult, record: dict[str, Any], split: str) -> ReportRow:
        """record: clip.json of a kept clip, else {}."""
        task = outcome.task
        shown = record.get("span") or (None if task.shot is None else (task.shot.start, task.shot.stop))
        shot = None if shown is None else (round(shown[0] / FPS, 2), round(shown[1] / FPS, 2))
        pictures = (f"clips/{task.clip_id}/preview.jpg", f"scans/{task.source.clip_id}.jpg")
        preview = next((name for name in pictures if (out / name).is_file()), "")
        return ReportRow(
            task.clip_id, task.source.name, task.source.identity, outcome.status, outcome.reason, outcome.step,
            int(record.get("frames", 0)), shot, split, record.get("quality"), record.get("offset"),
            bool(record.get("has_audio", False)), preview,
        )  # fmt: skip


@dataclass(frozen=True)
class Report:
    """The result of a run. missing: listed clips whose video does not exist. seconds: duration of the run."""

    rows: tuple[ReportRow, ...]
    splits: Splits
    missing: tuple[tuple[str, str], ...]
    options: Options
    seconds: float

    @property
    def complete(self) -> bool:
        """Every video was processed: kept or rejected."""
        return all(row.status != "failed" for row in self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by status."""
        counts = Counter(row.status for row in self.rows)
        return {status: counts[status] for status in STATUSES}

    @property
    def frames(self) -> int:
        """Frames kept."""
        return sum(row.frames for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Contents of report.json."""
        totals = {
            "videos": len({row.source for row in self.rows}),
            "clips": len(self.rows),
            **self.counts,
            "missing": len(self.missing),
            "frames": self.frames,
            "minutes": round(self.frames / FPS / 60, 3),
        }
        settings = self.options.model_dump(mode="json")
        return {
            "totals": totals,
            "identities": self.splits.people,
            "splits": {name: len(ids) for name, ids in self.splits.lists.items()},
            "notes": list(self.splits.notes),
            "missing": [{"id": clip_id, "reason": reason} for clip_id, reason in self.missing],
            "settings": settings,
            "clips": [{**asdict(row), "shot": None if row.shot is None else list(row.shot)} for row in self.rows],
        }

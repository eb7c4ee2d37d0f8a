"""May the numbers of two scores.json be compared? And if not, why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moda.errors import DataError, few
from moda.evaluation.report.records import FORMAT
from moda.reading import read_json

UNLIKE_SETTINGS = ("fps", "frame", "tracker", "scoring")
"""Settings on which all scores depend."""


@dataclass(frozen=True)
class Comparability:
    """Of two files: what forbids any comparison, what forbids that of a metric, by name, and what is worth knowing."""

    hindrances: tuple[str, ...]
    metrics: Mapping[str, str]
    remarks: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Every number of both may be compared."""
        return not self.hindrances and not self.metrics


def read_scores(path: Path) -> dict[str, Any]:
    """A scores.json; raises `DataError` if it is none or of another version of MODA's format."""
    record = read_json(path)
    if not isinstance(record, dict) or "settings" not in record or "metrics" not in record:
        raise DataError(f"{path} is no scores.json of moda eval")
    if record.get("format") != FORMAT:
        raise DataError(f"{path} has format {record.get('format')}, this version reads {FORMAT}: score again")
    return record


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> Comparability:
    """What stands between two files' numbers."""
    hindrances = [
        f"{name}: {first['settings'].get(name)} and {second['settings'].get(name)}"
        for name in UNLIKE_SETTINGS
        if first["settings"].get(name) != second["settings"].get(name)
    ]
    hindrances += _clips(first["true_clips"], second["true_clips"])
    one, two = (record["protocol"] for record in (first, second))
    if one != two:
        names = [f"{p['name']} ({p['sha256'][:8]})" if p else "none" for p in (one, two)]
        hindrances.append(f"protocol: {names[0]} and {names[1]}")
    unlike = {}
    for name in sorted(first["metrics"].keys() | second["metrics"].keys()):
        pair = [record["metrics"].get(name) for record in (first, second)]
        if pair[0] is None or pair[1] is None:
            unlike[name] = "only in one of them"
            continue
        for part in ("version", "variant", "unit"):
            if pair[0][part] != pair[1][part]:
                unlike[name] = f"{part}: {pair[0][part]} and {pair[1][part]}"
    remarks = [
        f"{name}: {first['versions'].get(name)} and {second['versions'].get(name)}"
        for name in sorted(first["versions"].keys() | second["versions"].keys())
        if first["versions"].get(name) != second["versions"].get(name)
    ]
    return Comparability(tuple(hindrances), unlike, tuple(remarks))


def check_text(paths: tuple[Path, Path], found: Comparability) -> str:
    """The answer in words, for people."""
    names = f"{paths[0]} and {paths[1]}"
    lines = []
    if found.hindrances:
        lines.append(f"{names} may not be compared:")
        lines += [f"- {why}" for why in found.hindrances]
    elif found.metrics:
        lines.append(f"{names} may be compared, except for:")
    else:
        lines.append(f"{names} may be compared")
    lines += [f"- {name}: {why}" for name, why in found.metrics.items()]
    if found.remarks:
        lines.append("other versions, which may change the last digits: " + "; ".join(found.remarks))
    return "\n".join(lines)


def _clips(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """In what the true clips differ: names, files, or frames that were scored."""
    why = []
    alone = [sorted(a.keys() - b.keys()) for a, b in ((first, second), (second, first))]
    for names, which in zip(alone, ("first", "second"), strict=True):
        if names:
            why.append(f"clips that only the {which} has: {few(names)}")
    both = sorted(first.keys() & second.keys())
    other = [clip for clip in both if first[clip]["sha256"] != second[clip]["sha256"]]
    if other:
        why.append(f"other true videos (by their hash): {few(other)}")
    frames = [clip for clip in both if first[clip]["frames"] != second[clip]["frames"]]
    if frames:
        why.append(f"other numbers of frames: {few(frames)}")
    return why

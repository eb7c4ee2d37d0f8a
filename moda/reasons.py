"""Reasons and remarks that reports would repeat: those that differ in figures alone are merged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[-+]?\d+(?:\.\d+)?")
MAX_LISTED_NAMES = 3
"""Clips that are named; of more the number is given."""


def reason_group(reason: str) -> str:
    """A reason without what differs from clip to clip: those that agree in this are counted together."""
    return _NUMBER.sub("#", reason)


def summed_up(reasons: Sequence[str]) -> str:
    """One line for reasons of one group: numbers that differ become a range."""
    found = [_NUMBER.findall(reason) for reason in reasons]
    if len({len(numbers) for numbers in found}) > 1:  # one of them holds the sign for a number itself
        return reasons[0]
    spans = iter([_span(column) for column in zip(*found, strict=True)])
    return _NUMBER.sub(lambda match: next(spans), reasons[0])


def folded(found: Iterable[tuple[str, str, str]], clips: Mapping[str, int]) -> list[tuple[str, str]]:
    """Each group of reasons once, in the order of their first ones: of which rows and clips, and the reason.

    found: row, clip, reason. clips: number of clips by row, so that all of them need not be named.
    """
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for entry in found:
        groups.setdefault(reason_group(entry[2]), []).append(entry)
    return [(_where(entries, clips), summed_up([why for *_, why in entries])) for entries in groups.values()]


def _where(entries: Sequence[tuple[str, str, str]], clips: Mapping[str, int]) -> str:
    """Rows and clips of a group: rows with the same clips together."""
    by_row: dict[str, dict[str, None]] = {}
    for row, clip, _ in entries:
        by_row.setdefault(row, {})[clip] = None
    if len(by_row) == 1 and len(clip_names := next(iter(by_row.values()))) == 1:
        return f"{next(iter(by_row))}, {next(iter(clip_names))}"
    rows: dict[str, list[str]] = {}
    for row, names in by_row.items():
        whole = len(names) == clips.get(row, 0)
        few = (
            ", ".join(names)
            if len(names) <= MAX_LISTED_NAMES
            else f"{len(names)} of {clips.get(row, len(names))} clips"
        )
        rows.setdefault("all clips" if whole else few, []).append(row)
    if rows.keys() == {"all clips"} and by_row.keys() == clips.keys():
        return "all rows"
    return "; ".join(f"{', '.join(names)} ({where})" for where, names in rows.items())


def _span(numbers: Sequence[str]) -> str:
    ordered = sorted(set(numbers), key=float)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]}–{ordered[-1]}"

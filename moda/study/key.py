"""The key of a study, which tells what its opaque names stand for, and the form of its answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from moda.errors import DataError
from moda.reading import read_json

KEY_FORMAT, KEY_VERSION = "moda-study-key", 1
ANSWERS_FORMAT, ANSWERS_VERSION = "moda-study-answers", 1


class Question(NamedTuple):
    """A question on one video, and what 1 and 5 stand for."""

    text: str
    low: str
    high: str


QUESTIONS = {
    "sync": Question("Do the lips fit what is said?", "not at all", "perfectly"),
    "naturalness": Question("Do the face and the head move like a real person's?", "not at all", "perfectly"),
    "quality": Question("How good is the picture: sharp, steady, without faults?", "bad", "excellent"),
}
"""Asked of every video, answered by 1 to 5, as the mean opinion score of ITU-T P.910 is."""
CONTROL_QUESTION, MAX_CONTROL_RATING = "sync", 2
"""Who rates a control, a true video with another clip's sound, higher than this did not look or listen."""
PREFERENCES = {"first": 1.0, "same": 0.5, "second": 0.0}
"""Answers to a pair, and the first one's share."""


@dataclass(frozen=True)
class StudyKey:
    """What `moda study make` wrote.

    videos: (method, clip) by opaque name; the method of a control is None. orders: (ratings, pairs) in opaque names.
    """

    study: str
    methods: tuple[str, ...]
    truth: str | None
    clips: tuple[str, ...]
    videos: dict[str, tuple[str | None, str]]
    orders: tuple[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], ...]

    @property
    def controls(self) -> set[str]:
        """Opaque names of the controls."""
        return {name for name, (method, _) in self.videos.items() if method is None}


def read_key(study: Path) -> StudyKey:
    """The key of a study's folder; raises `DataError` if there is none, or it is damaged."""
    path = study / "key.json" if study.is_dir() else study
    if not path.is_file():
        raise DataError(f"no key.json in {study}; wanted the folder that `moda study make` wrote, not its page alone")
    record = read_json(path)
    if record.get("format") != KEY_FORMAT or record.get("version") != KEY_VERSION:
        raise DataError(f"{path} is not the key of a study ({KEY_FORMAT}, version {KEY_VERSION})")
    try:
        return _key(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} is damaged ({error!r}); take it from a backup: no other key fits these answers"
        ) from error


def _key(record: dict[str, Any]) -> StudyKey:
    key = StudyKey(
        str(record["study"]),
        tuple(record["methods"]),
        record["truth"],
        tuple(record["clips"]),
        {name: (video["method"], video["clip"]) for name, video in record["videos"].items()},
        tuple(
            (tuple(order["ratings"]), tuple((first, second) for first, second in order["pairs"]))
            for order in record["orders"]
        ),
    )
    used = {name for ratings, pairs in key.orders for name in [*ratings, *(n for pair in pairs for n in pair)]}
    methods, clips = {method for method, _ in key.videos.values()}, {clip for _, clip in key.videos.values()}
    if (
        not key.orders
        or not used <= key.videos.keys()
        or not methods <= {*key.methods, None}
        or not clips <= {*key.clips}
    ):
        raise ValueError("it names what it does not list")
    return key

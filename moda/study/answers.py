"""Files of answers: read, checked against the study's key; those that cannot be used are named with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moda.errors import DataError, shortened
from moda.reading import read_json
from moda.study.key import (
    ANSWERS_FORMAT,
    ANSWERS_VERSION,
    CONTROL_QUESTION,
    MAX_CONTROL_RATING,
    PREFERENCES,
    QUESTIONS,
    StudyKey,
)

EXCLUSIONS = {
    "damaged": "cannot be read, or not as the page writes them",
    "foreign": "of another study",
    "doubled": "of a participant whose answers are there already",
    "incomplete": "not answered to the end",
    "control": "of a participant who failed a control",
}
"""Why files are left out, in the order in which they are named."""


@dataclass(frozen=True)
class Sheet:
    """One participant's answers.

    ratings: by opaque name of the video, 1 to 5 by question; None for one that did not play. pairs: the two opaque
    names and the first one's share, None likewise.
    """

    path: Path
    participant: str
    ended: str
    ratings: dict[str, dict[str, int] | None]
    pairs: tuple[tuple[str, str, float | None], ...]

    def failed_controls(self, key: StudyKey) -> list[int]:
        """Ratings of controls that are too high."""
        found = [(self.ratings.get(name) or {}).get(CONTROL_QUESTION, 0) for name in sorted(key.controls)]
        return [rating for rating in found if rating > MAX_CONTROL_RATING]


@dataclass
class Answers:
    """What can be used. excluded: files by the kind of `EXCLUSIONS`, each with its reason."""

    sheets: list[Sheet]
    excluded: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in EXCLUSIONS})


class _OtherError(ValueError):
    """Why a file of answers that is not damaged cannot be used: a kind of `EXCLUSIONS`."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def find_answers(places: Sequence[Path]) -> list[Path]:
    """Files, and the .json files of folders; raises `DataError` if there is none, or a place is not there."""
    found: dict[Path, None] = {}
    for place in places:
        if not place.exists():
            raise DataError(f"no such file or folder of answers: {place}")
        inside = (
            [path for path in sorted(place.iterdir()) if path.suffix.lower() == ".json"] if place.is_dir() else [place]
        )
        found |= dict.fromkeys(path for path in inside if not path.name.startswith("."))
    if not found:
        raise DataError(f"no .json files of answers in {', '.join(map(str, places))}")
    return list(found)


def read_answers(paths: Iterable[Path], key: StudyKey, *, keep_failing: bool = False) -> Answers:
    """The sheets of files; of several by one participant, that which ended first.

    keep_failing: also those who failed a control; they are named all the same.
    """
    answers = Answers([])
    read: list[Sheet] = []
    for path in paths:
        try:
            read.append(_sheet(path, key))
        except (ValueError, DataError) as error:
            kind = error.kind if isinstance(error, _OtherError) else "damaged"
            answers.excluded[kind].append(f"{path.name}: {str(error).removeprefix(f'cannot read {path}: ')}")
    by_participant: dict[str, Sheet] = {}
    for sheet in sorted(read, key=lambda sheet: (sheet.ended, len(sheet.path.name), sheet.path.name)):
        first = by_participant.setdefault(sheet.participant, sheet)
        if first is not sheet:
            same = (first.ratings, first.pairs) == (sheet.ratings, sheet.pairs)
            why = "the same answers" if same else "other answers of the same participant, given earlier,"
            answers.excluded["doubled"].append(f"{sheet.path.name}: {why} are in {first.path.name}")
    for sheet in sorted(by_participant.values(), key=lambda sheet: sheet.path.name):
        failed = sheet.failed_controls(key)
        if failed:
            rated = " and ".join(map(str, failed))
            said = f"{CONTROL_QUESTION} of a video with another clip's sound rated {rated}"
            answers.excluded["control"].append(f"{sheet.path.name}: {said}, wanted {MAX_CONTROL_RATING} or less")
        if not failed or keep_failing:
            answers.sheets.append(sheet)
    return answers


def _sheet(path: Path, key: StudyKey) -> Sheet:
    record = read_json(path)
    if record.get("format") != ANSWERS_FORMAT or record.get("version") != ANSWERS_VERSION:
        raise ValueError(f"not a file of answers ({ANSWERS_FORMAT}, version {ANSWERS_VERSION})")
    if record.get("study") != key.study:
        raise _OtherError("foreign", f"of study {shortened(record.get('study'))}, wanted {key.study}")
    participant, ended, number = record.get("participant"), record.get("ended"), record.get("number")
    answers = record.get("answers")
    if not isinstance(participant, str) or not participant or not isinstance(answers, list):
        raise ValueError("it names no participant, or holds no list of answers")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"the number of the participant's order is {shortened(number)}, wanted 0 or more")
    ratings, pairs = key.orders[number % len(key.orders)]
    wanted: list[tuple[str, ...]] = [*((name,) for name in ratings), *pairs]
    if len(answers) < len(wanted) or not isinstance(ended, str):
        raise _OtherError("incomplete", f"{len(answers)} of {len(wanted)} answers")
    if len(answers) > len(wanted):
        raise ValueError(f"{len(answers)} answers, wanted {len(wanted)}")
    sheet = Sheet(path, participant, ended, {}, ())
    preferred: list[tuple[str, str, float | None]] = []
    for place, (shown, answer) in enumerate(zip(wanted, answers, strict=True)):
        said = _answer(answer, shown, f"answer {place + 1}")
        if len(shown) == 1:
            sheet.ratings[shown[0]] = said and {name: _rating(said, name, place) for name in QUESTIONS}
        else:
            preferred.append((shown[0], shown[1], None if said is None else _preference(said, place)))
    return Sheet(path, participant, ended, sheet.ratings, tuple(preferred))


def _answer(answer: Any, shown: tuple[str, ...], where: str) -> dict[str, Any] | None:
    """An answer to what was shown; None if that did not play."""
    if not isinstance(answer, dict):
        raise ValueError(f"{where} is {shortened(answer)}, wanted an object")
    got = (answer.get("video"),) if len(shown) == 1 else (answer.get("first"), answer.get("second"))
    if got != shown:
        raise ValueError(f"{where} is to {shortened(got)}, wanted {shown}: not the order of this participant")
    return None if answer.get("unplayable") is True else answer


def _rating(answer: dict[str, Any], question: str, place: int) -> int:
    value = answer.get(question)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 5:
        raise ValueError(f"answer {place + 1}: {question} is {shortened(value)}, wanted 1 to 5")
    return value


def _preference(answer: dict[str, Any], place: int) -> float:
    value = answer.get("preferred")
    if not isinstance(value, str) or value not in PREFERENCES:
        raise ValueError(f"answer {place + 1}: preferred is {shortened(value)}, wanted one of {', '.join(PREFERENCES)}")
    return PREFERENCES[value]

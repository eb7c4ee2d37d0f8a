"""What the answers to a study say: opinions, preferences, differences and agreement."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from moda.errors import DataError
from moda.study.answers import EXCLUSIONS, Answers
from moda.study.key import QUESTIONS, StudyKey
from moda.study.statistics import Estimate, Resamples, krippendorff_alpha

PREFERENCE = "preference"


@dataclass(frozen=True)
class Results:
    """Of a study.

    methods: by method and question mean opinions, 1 to 5, and `PREFERENCE`, the share of comparisons won (a draw is a
    half), averaged over the other methods. pairs: by two methods, the first one's share. differences: by two methods
    and question, the first one's mean opinion less the second's. agreement: Krippendorff's alpha by question.
    """

    key: StudyKey
    answers: Answers
    resampled: str
    methods: dict[str, dict[str, Estimate]]
    pairs: dict[tuple[str, str], Estimate]
    differences: dict[tuple[str, str], dict[str, Estimate]]
    agreement: dict[str, float | None]


def analyse(key: StudyKey, answers: Answers) -> Results:
    """Figures of the sheets that can be used; raises `DataError` if there are none."""
    people, clips = answers.sheets, {clip: place for place, clip in enumerate(key.clips)}
    if not people:
        counts = ", ".join(f"{len(files)} {kind}" for kind, files in answers.excluded.items() if files)
        first = next(files[0] for kind in EXCLUSIONS if (files := answers.excluded[kind]))
        raise DataError(f"no file of answers can be used ({counts}); {first}")
    empty = (len(people), len(clips))
    rated = {(m, q): np.full(empty, np.nan) for m in key.methods for q in QUESTIONS}
    shares = {pair: np.full(empty, np.nan) for pair in combinations(key.methods, 2)}
    for row, sheet in enumerate(people):
        for name, ratings in sheet.ratings.items():
            method, clip = key.videos[name]
            if method is not None:
                for question, value in (ratings or {}).items():
                    rated[method, question][row, clips[clip]] = value
        for first, second, share in sheet.pairs:
            (one, clip), (two, _) = key.videos[first], key.videos[second]
            if share is None or one is None or two is None:
                continue
            if (one, two) in shares:
                shares[one, two][row, clips[clip]] = share
            else:
                shares[two, one][row, clips[clip]] = 1 - share
    draws = Resamples.draw(*empty)
    means = {place: draws.means(values) for place, values in rated.items()}
    won = {pair: draws.means(values) for pair, values in shares.items()}
    won |= {(two, one): 1 - share for (one, two), share in won.items()}

    def opinion(method: str, question: str) -> Estimate:
        return draws.estimate(means[method, question], _count(rated[method, question]))

    def preference(method: str) -> Estimate:
        own = [values if method == pair[0] else 1 - values for pair, values in shares.items() if method in pair]
        against = np.stack([won[method, other] for other in key.methods if other != method])
        with_answers = against[np.isfinite(against[:, 0])]
        mean = with_answers.mean(axis=0) if len(with_answers) else against[0]
        return draws.estimate(mean, sum(map(_count, own)), share_of=_people(np.concatenate(own, axis=1)))

    return Results(
        key,
        answers,
        draws.resampled,
        {m: {**{q: opinion(m, q) for q in QUESTIONS}, PREFERENCE: preference(m)} for m in key.methods},
        {pair: draws.estimate(won[pair], _count(v), share_of=_people(v)) for pair, v in shares.items()},
        {
            (one, two): {
                q: draws.estimate(means[one, q] - means[two, q], min(_count(rated[one, q]), _count(rated[two, q])))
                for q in QUESTIONS
            }
            for one, two in combinations(key.methods, 2)
        },
        {
            **{q: krippendorff_alpha(_units([rated[m, q] for m in key.methods])) for q in QUESTIONS},
            PREFERENCE: krippendorff_alpha(_units(list(shares.values())), nominal=True),
        },
    )


def _units(tables: list[np.ndarray]) -> list[np.ndarray]:
    """The values that each video, or each pair on a clip, was given, from (P, C) tables."""
    return [column[np.isfinite(column)] for table in tables for column in table.T]


def _count(values: np.ndarray) -> int:
    return int(np.isfinite(values).sum())


def _people(values: np.ndarray) -> int:
    """Participants with an answer among (P, C)."""
    return int(np.isfinite(values).any(axis=1).sum())

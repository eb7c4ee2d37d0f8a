"""Which videos each participant sees, in which order: balanced over participants, drawn from a seed.

Each participant rates every method on each of his clips. The clips come in rounds, each clip once a round, with
another method in every round: by the rows of a Williams square (Williams 1949), so that over as many participants as
it has rows each method is in each round equally often, and follows each other method on a clip equally often.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple


class Shown(NamedTuple):
    """A video: a method's on a clip; for a control, `method` is None."""

    method: str | None
    clip: str


class Pair(NamedTuple):
    """Two methods' videos of one clip, the first at the left or above."""

    clip: str
    first: str
    second: str


@dataclass(frozen=True)
class Order:
    """What one participant sees, in this order: videos to rate, then pairs to compare."""

    ratings: tuple[Shown, ...]
    pairs: tuple[Pair, ...]


def williams_rows(count: int) -> list[list[int]]:
    """Orders of `count` things, each in each place equally often, each after each other one equally often."""
    zigzag = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    rows = [[(number + start) % count for number in zigzag] for start in range(count)]
    return rows if count % 2 == 0 else rows + [row[::-1] for row in rows]


def draw_orders(
    methods: Sequence[str],
    clips: Sequence[str],
    controls: Sequence[str] = (),
    *,
    participants: int,
    clips_each: int,
    pairs_each: int,
    seed: int,
) -> list[Order]:
    """One order a participant; the same arguments give the same orders.

    controls: clips whose control every participant rates, never first. clips_each: clips of a participant, in turn.
    pairs_each: pairs that he compares, of those shown least so far; each stands as often one way round as the other.
    """
    drawn = random.Random(seed)
    methods, clips = drawn.sample(methods, len(methods)), drawn.sample(clips, len(clips))
    rows = williams_rows(len(methods))
    drawn.shuffle(rows)
    seen = Counter({clip: place for place, clip in enumerate(clips)})
    pairs = _Pairs(methods, drawn)
    orders = []
    for participant in range(participants):
        own = [clips[(participant * clips_each + place) % len(clips)] for place in range(clips_each)]
        row = {clip: rows[seen[clip] % len(rows)] for clip in own}
        seen.update(own)
        ratings: list[Shown] = []
        for turn in range(len(methods)):
            for clip in _shuffled(own, ratings[-1].clip if ratings else None, drawn):
                ratings.append(Shown(methods[row[clip][turn]], clip))
        for clip in drawn.sample(controls, len(controls)):
            ratings.insert(drawn.randint(1, len(ratings)), Shown(None, clip))
        orders.append(Order(tuple(ratings), pairs.draw(own, pairs_each)))
    return orders


def _shuffled(clips: Sequence[str], before: str | None, drawn: random.Random) -> list[str]:
    """The clips at random, another than `before` first if there is one."""
    order = drawn.sample(clips, len(clips))
    if len(order) > 1 and order[0] == before:
        place = drawn.randrange(1, len(order))
        order[0], order[place] = order[place], order[0]
    return order


class _Pairs:
    """Pairs of methods on clips, drawn so that all are shown about equally often, both ways round."""

    def __init__(self, methods: Sequence[str], drawn: random.Random) -> None:
        self._combinations = list(combinations(methods, 2))
        self._random = drawn
        self._shown: Counter[tuple[str, str]] = Counter()
        self._shown_on: Counter[tuple[str, tuple[str, str]]] = Counter()

    def draw(self, clips: Sequence[str], count: int) -> tuple[Pair, ...]:
        found: list[Pair] = []
        left = [(clip, pair) for clip in clips for pair in self._combinations]
        uses = Counter[str]()
        for _ in range(count):
            ties = {entry: self._random.random() for entry in left}
            chosen = min(left, key=lambda e: (uses[e[0]], self._shown[e[1]], self._shown_on[e], ties[e]))
            left.remove(chosen)
            clip, (one, two) = chosen
            uses[clip] += 1
            turned = self._shown[chosen[1]] % 2 == 1
            self._shown[chosen[1]] += 1
            self._shown_on[chosen] += 1
            found.append(Pair(clip, two, one) if turned else Pair(clip, one, two))
        self._random.shuffle(found)
        return tuple(found)

"""Orders: balanced over participants, the same from the same seed."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from moda.study.design import Order, draw_orders, williams_rows

METHODS, CLIPS = list("ABCDE"), [f"clip{i}" for i in range(6)]


def orders(**changes: Any) -> list[Order]:
    settings: dict[str, Any] = {"participants": 20, "clips_each": 6, "pairs_each": 6, "seed": 1, **changes}
    controls = settings.pop("controls", ())
    return draw_orders(METHODS, CLIPS, controls, **settings)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_williams_rows_balance_places_and_successions(count: int) -> None:
    rows = williams_rows(count)
    assert all(sorted(row) == list(range(count)) for row in rows)
    assert {tuple(Counter(column).values()) for column in zip(*rows, strict=True)} == {(len(rows) // count,) * count}
    after = Counter(pair for row in rows for pair in pairwise(row))
    assert len(after) == count * (count - 1) and len(set(after.values())) == 1


def test_every_method_is_rated_on_every_clip_in_every_round_equally_often() -> None:
    drawn = orders()
    places = Counter()
    for order in drawn:
        assert sorted(order.ratings) == sorted((m, c) for m in METHODS for c in CLIPS)
        for place, shown in enumerate(order.ratings):
            places[shown, place // len(CLIPS)] += 1
    assert set(places.values()) == {len(drawn) // len(METHODS)} and len(places) == 5 * 6 * 5


def test_a_clip_does_not_follow_itself_and_no_two_orders_are_the_same() -> None:
    drawn = orders()
    assert all(one.clip != two.clip for order in drawn for one, two in pairwise(order.ratings))
    assert len(set(drawn)) == len(drawn)


def test_pairs_are_of_one_clip_and_stand_both_ways_round() -> None:
    drawn = orders(participants=40)
    ways = Counter((pair.first, pair.second) for order in drawn for pair in order.pairs)
    assert len(ways) == 20 and max(ways.values()) - min(ways.values()) <= 1
    for order in drawn:
        assert sorted(pair.clip for pair in order.pairs) == CLIPS  # each clip once
    on = Counter((pair.clip, frozenset((pair.first, pair.second))) for order in drawn for pair in order.pairs)
    assert len(on) == 60 and max(on.values()) <= 2 * min(on.values())


def test_of_more_clips_each_participant_sees_as_many_as_are_wanted_and_each_clip_is_seen_equally_often() -> None:
    drawn = orders(participants=30, clips_each=2, pairs_each=3)
    seen = Counter(shown for order in drawn for shown in order.ratings)
    assert set(seen.values()) == {10} and len(seen) == 30
    for order in drawn:
        clips = {shown.clip for shown in order.ratings}
        assert len(clips) == 2 and {pair.clip for pair in order.pairs} <= clips and len(set(order.pairs)) == 3


def test_controls_are_rated_once_and_never_first() -> None:
    places = set()
    for order in orders(controls=["clip1", "clip3"]):
        found = [place for place, shown in enumerate(order.ratings) if shown.method is None]
        assert sorted(order.ratings[place].clip for place in found) == ["clip1", "clip3"]
        places |= set(found)
    assert 0 not in places and len(places) > 10


def test_the_seed_decides() -> None:
    assert orders() == orders() and orders() != orders(seed=2)

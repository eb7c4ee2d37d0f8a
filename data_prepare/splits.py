"""Training, validation and test lists: shares of the frames, whole numbers of clips, or published lists.

No person is in two of them, unless published lists or a split by time put one there, for networks of known people.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from data_prepare.split_lists import PublishedLists, lists_by_name
from moda.data.store import SPLITS
from moda.errors import ConfigError

SHUFFLE_TRIES = 50
"""Shuffles that are tried to reach the wanted numbers of clips exactly."""


class ClipFacts(NamedTuple):
    """What a clip's place in the lists depends on."""

    id: str
    identity: str
    frames: int


@dataclass(frozen=True)
class Splits:
    """Clip ids of each split, in the order of the store; the split of each identity that is in one.

    notes: remarks for the user, one sentence each. missing: by split, listed clips that are not there.
    """

    lists: dict[str, list[str]]
    identities: dict[str, str]
    notes: tuple[str, ...] = ()
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    divided: dict[str, int] | None = None
    """Where people are in several splits: number of identities in each."""

    @property
    def people(self) -> dict[str, int]:
        """Number of identities in each split."""
        if self.divided is not None:
            return self.divided
        counts = Counter(self.identities.values())
        return {name: counts[name] for name in SPLITS}


@dataclass(frozen=True)
class SplitRule:
    """Wanted shares of the frames (or, if `counts`, numbers of clips) and the seed of the shuffle.

    by_time: each person's clips are divided, the first to train, the last to test, without a shuffle.
    """

    train: float = 0.8
    val: float = 0.1
    test: float = 0.1
    seed: int = 0
    counts: bool = False
    by_time: bool = False

    @property
    def shares(self) -> dict[str, float]:
        """Share (or number) of each split by name."""
        return dict(zip(SPLITS, (self.train, self.val, self.test), strict=True))

    @property
    def record(self) -> dict[str, Any]:
        """The rule as JSON: two runs with one record keep people where they were."""
        if self.by_time:
            return {"time": list(self.shares.values())}
        return {"counts" if self.counts else "shares": list(self.shares.values()), "seed": self.seed}

    @staticmethod
    def parse(text: str, seed: int = 0, *, by_time: bool = False) -> SplitRule:
        """'0.8,0.1,0.1' -> shares of the frames; '132,0,32' -> numbers of clips.

        Whole numbers whose sum is above 1 are numbers of clips, anything else shares.
        Raises `ConfigError` unless it is three numbers, and shares sum to 1; by time there are shares only.
        """
        words = [word.strip() for word in text.split(",")]
        if len(words) == 3 and all(word.isdecimal() for word in words) and sum(map(int, words)) > 1 and not by_time:
            train, val, test = map(float, words)
            return SplitRule(train, val, test, seed, counts=True)
        try:
            shares = [float(word) for word in words]
        except ValueError:
            shares = []
        if len(shares) != 3 or not all(0.0 <= share <= 1.0 for share in shares) or abs(sum(shares) - 1.0) > 1e-6:
            numbers = "" if by_time else ", or three numbers of clips, as 132,0,32"
            raise ConfigError(f"--split {text!r}: wanted three shares of 0 to 1 that sum to 1, as 0.8,0.1,0.1{numbers}")
        train, val, test = shares
        return SplitRule(train, val, test, seed, by_time=by_time)


def make_splits(
    clips: Sequence[ClipFacts], rule: SplitRule | PublishedLists, fixed: Mapping[str, str] | None = None
) -> Splits:
    """The lists for the clips of a store.

    fixed: identities that stay where they are (not for published lists). Raises `DataError` if those
    put a person into two splits and that is not allowed.
    """
    if isinstance(rule, PublishedLists):
        lists, where, remarks, missing = lists_by_name(rule, [(clip.id, clip.identity) for clip in clips])
        return Splits(lists, where, remarks, missing)
    if rule.by_time:
        return _divide_by_time(clips, rule)
    weights: Counter[str] = Counter()
    for clip in clips:
        weights[clip.identity] += 1 if rule.counts else clip.frames
    where = assign_counts(weights, rule, fixed) if rule.counts else assign(weights, rule, fixed)
    lists = {name: [clip.id for clip in clips if where.get(clip.identity) == name] for name in SPLITS}
    notes: tuple[str, ...] = ()
    if rule.counts:
        wanted, got = list(map(int, rule.shares.values())), [len(lists[name]) for name in SPLITS]
        if got != wanted:
            notes += (f"wanted {_numbers(wanted)} clips in train, val, test; with whole people it is {_numbers(got)}",)
        if left := len(clips) - sum(got):
            notes += (f"clips beyond the wanted numbers, in no list: {left}",)
    return Splits(lists, where, notes)


def _divide_by_time(clips: Sequence[ClipFacts], rule: SplitRule) -> Splits:
    """Every person's clips, in the order of their ids, by where the middle of each lies in the person's footage.

    The first stays in train, and the last of several is in the last list that is wanted.
    """
    lists: dict[str, list[str]] = {name: [] for name in SPLITS}
    people: dict[str, list[ClipFacts]] = {}
    for clip in sorted(clips):
        people.setdefault(clip.identity, []).append(clip)
    wanted = [name for name in SPLITS if rule.shares[name] > 0.0]
    undivided = []
    for who, own in people.items():
        total, passed = sum(clip.frames for clip in own), 0
        for number, clip in enumerate(own):
            middle = (passed + clip.frames / 2) / total
            ends = accumulate(rule.shares[name] for name in wanted)
            name = next((name for name, end in zip(wanted, ends, strict=True) if middle < end), wanted[-1])
            name = wanted[0] if number == 0 else wanted[-1] if number == len(own) - 1 else name
            lists[name].append(clip.id)
            passed += clip.frames
        if len(own) < len(wanted):
            undivided.append(f"{who} ({len(own)} clip{'s' * (len(own) > 1)})")
    notes = (
        (f"people of fewer clips than lists: {', '.join(undivided)}; lower options.max_seconds",) if undivided else ()
    )
    identity_of = {clip.id: clip.identity for clip in clips}
    divided = {name: len({identity_of[clip_id] for clip_id in ids}) for name, ids in lists.items()}
    return Splits(lists, dict.fromkeys(people, wanted[0]), ("each person is divided by time", *notes), divided=divided)


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def assign(frames: Mapping[str, int], rule: SplitRule, fixed: Mapping[str, str] | None = None) -> dict[str, str]:
    """Identity -> split, so that the shares of frames come near those wanted.

    frames: identity -> frames of all its clips. fixed: identities that stay where they are.
    Identities are shuffled, then each goes where most is missing; one that is larger than the
    smallest wanted split goes first. With two identities val gets one and with three test does, if
    their shares are not 0; train always keeps one if its share is not 0.
    """
    shares = {name: share for name, share in rule.shares.items() if share > 0.0}
    fixed = {who: name for who, name in (fixed or {}).items() if who in frames and name in shares}
    total = sum(frames.values())
    missing = {name: share * total for name, share in shares.items()}
    for who, name in fixed.items():
        missing[name] -= frames[who]
    waiting = sorted(set(frames) - set(fixed))
    random.Random(rule.seed).shuffle(waiting)
    smallest = min(shares.values()) * total
    waiting.sort(key=lambda who: -frames[who] if frames[who] > smallest else 0)
    result = dict(fixed)
    for who in waiting:
        name = max(missing, key=lambda split: missing[split])
        result[who] = name
        missing[name] -= frames[who]
    _fill_empty(result, frames, shares, set(fixed))
    return result


def _fill_empty(
    result: dict[str, str], frames: Mapping[str, int], shares: Mapping[str, float], fixed: set[str]
) -> None:
    """Give train, then val, then test one identity each as far as they go: the smallest of the fullest split."""
    for name in [name for name in SPLITS if name in shares][: len(frames)]:
        if name in result.values():
            continue
        counts = {other: [who for who, where in result.items() if where == other] for other in shares}
        donors = [who for other, members in counts.items() if len(members) > 1 for who in members if who not in fixed]
        if name == "train" and not donors:
            donors = [who for who in result if who not in fixed]
        if donors:
            fullest = max({result[who] for who in donors}, key=lambda other: sum(frames[who] for who in counts[other]))
            result[min((who for who in donors if result[who] == fullest), key=lambda who: (frames[who], who))] = name


def assign_counts(clips: Mapping[str, int], rule: SplitRule, fixed: Mapping[str, str] | None = None) -> dict[str, str]:
    """Identity -> split, so that the numbers of clips come as near those wanted as whole identities can.

    clips: identity -> number of its clips. Identities that no list needs are left out. If there are
    fewer clips than wanted, the wanted numbers shrink in proportion.
    """
    wanted = _in_proportion({name: int(count) for name, count in rule.shares.items() if count > 0}, sum(clips.values()))
    fixed = {who: name for who, name in (fixed or {}).items() if who in clips and name in wanted}
    for who, name in fixed.items():
        wanted[name] -= clips[who]
    waiting = sorted(set(clips) - set(fixed))
    shuffle = random.Random(rule.seed)
    best: dict[str, str] = {}
    least: int | None = None
    for _ in range(SHUFFLE_TRIES):
        shuffle.shuffle(waiting)
        found, error = _fill(clips, waiting, wanted)
        if least is None or error < least:
            best, least = found, error
        if least == 0:
            break
    return {**fixed, **best}


def _in_proportion(wanted: dict[str, int], total: int) -> dict[str, int]:
    """The wanted numbers, or whole numbers in their proportion that sum to `total` if that is less."""
    whole = sum(wanted.values())
    if whole <= total:
        return wanted
    result = {name: count * total // whole for name, count in wanted.items()}
    by_rest = sorted(wanted, key=lambda name: -(wanted[name] * total % whole))
    for name in by_rest[: total - sum(result.values())]:
        result[name] += 1
    return result


def _fill(clips: Mapping[str, int], waiting: Sequence[str], wanted: Mapping[str, int]) -> tuple[dict[str, str], int]:
    """Fill the splits one after the other, the smallest first; also by how many clips they miss in all."""
    result: dict[str, str] = {}
    error = 0
    for name in sorted(wanted, key=lambda split: wanted[split]):
        left = [who for who in waiting if who not in result]
        chosen = _nearest(clips, left, wanted[name])
        result.update(dict.fromkeys(chosen, name))
        error += abs(wanted[name] - sum(clips[who] for who in chosen))
    return result, error


def _nearest(clips: Mapping[str, int], people: Sequence[str], wanted: int) -> list[str]:
    """Those of `people` whose clips sum nearest to `wanted` (a tie: to less), the first ones preferred."""
    reached: dict[int, tuple[int, str]] = {0: (0, "")}  # sum -> (sum before, who came last)
    for who in people:
        if wanted in reached:
            break
        for before in [total for total in reached if total < wanted]:
            reached.setdefault(before + clips[who], (before, who))
    total = min(reached, key=lambda value: (abs(value - wanted), value))
    chosen = []
    while total > 0:
        total, who = reached[total]
        chosen.append(who)
    return chosen

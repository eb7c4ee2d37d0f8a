"""Training, validation and test lists in which no person is in two."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from moda.data.clip import SPLITS
from moda.errors import ConfigError


@dataclass(frozen=True)
class SplitRule:
    """Wanted shares of the frames and the seed of the shuffle."""

    train: float = 0.8
    val: float = 0.1
    test: float = 0.1
    seed: int = 0

    @property
    def shares(self) -> dict[str, float]:
        """Share of each split by name."""
        return dict(zip(SPLITS, (self.train, self.val, self.test), strict=True))

    @staticmethod
    def parse(text: str, seed: int = 0) -> SplitRule:
        """'0.8,0.1,0.1' -> SplitRule; raises `ConfigError` unless it is three shares that sum to 1."""
        try:
            shares = [float(word) for word in text.split(",")]
        except ValueError:
            shares = []
        if len(shares) != 3 or not all(0.0 <= share <= 1.0 for share in shares) or abs(sum(shares) - 1.0) > 1e-6:
            raise ConfigError(f"--split {text!r}: wanted three shares of 0 to 1 that sum to 1, as 0.8,0.1,0.1")
        train, val, test = shares
        return SplitRule(train, val, test, seed)


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

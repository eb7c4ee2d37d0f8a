"""One of several runs that prepare a folder together: each takes whole videos, none takes another's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_prepare.sources.folder import SourceVideo
from moda.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """Number `number` of `count`, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @staticmethod
    def parse(text: str) -> Shard:
        """'2/8' -> the second of eight; raises `ConfigError` for anything else."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        shard = Shard(int(found[1]), int(found[2])) if found else None
        if shard is None or not 1 <= shard.number <= shard.count:
            raise ConfigError(f"--shard {text!r}: wanted I/N, I from 1 to N, as 1/8 to 8/8")
        return shard

    def of(self, sources: Sequence[SourceVideo]) -> list[SourceVideo]:
        """Its sources: every `count`-th video in the order of the paths, with all parts that lists name of it."""
        videos = sorted({source.path for source in sources})
        own = set(videos[self.number - 1 :: self.count])
        return [source for source in sources if source.path in own]

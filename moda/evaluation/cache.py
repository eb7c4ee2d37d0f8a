"""Scores of single clips on disk, so that the next call computes only what is new."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from moda.files import write_json
from moda.metrics.registry import NotAvailable, Value

logger = logging.getLogger(__name__)


class ClipCache:
    """Values of one clip of one row, in one file named by a digest of all that they depend on.

    Within the file, each value is stored with its metric's `key` (version and variant). Only numbers are cached: the
    reason why there is none may be gone in the next call.
    """

    def __init__(self, folder: Path, *sources: object) -> None:
        self.digest = hashlib.sha256(repr(sources).encode()).hexdigest()[:24]
        self._path = folder / f"{self.digest}.json"

    def read(self, keys: Mapping[str, str]) -> dict[str, Value]:
        """The cached values of metrics, whose keys are given."""
        if not self._path.is_file():
            return {}
        try:
            record = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                name: float(record[name]["value"])
                for name, key in keys.items()
                if name in record and record[name]["key"] == key
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the cached scores %s are damaged (%s): computing them again", self._path, error)
            return {}

    def rows(self, sampler: str, key: str) -> Path:
        """The file for the rows that a sampler of this key takes of this clip."""
        return self._path.with_name(f"{self.digest}-{sampler}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.npz")

    def write(self, values: Mapping[str, Value], keys: Mapping[str, str]) -> None:
        """Write the numbers among the values; raises `OutputError`."""
        record = {
            name: {"key": keys[name], "value": value}
            for name, value in values.items()
            if not isinstance(value, NotAvailable)
        }
        write_json(self._path, record)

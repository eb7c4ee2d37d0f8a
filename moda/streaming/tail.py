"""The end of a row of values that grows, of which the beginning is forgotten."""

from __future__ import annotations

import numpy as np


class Tail:
    """Values with a time axis (T, ...), reached by their place in the whole row."""

    def __init__(self, empty: np.ndarray) -> None:
        """empty: (0, ...), of the values' dtype and shape."""
        self._values, self._first = empty, 0

    @property
    def stop(self) -> int:
        """Length of the whole row."""
        return self._first + len(self._values)

    def append(self, values: np.ndarray) -> None:
        self._values = np.concatenate((self._values, values))

    def between(self, start: int, stop: int) -> np.ndarray:
        """Values [start, stop), zeros where there are none: before the row's beginning and after its end."""
        found = np.zeros((stop - start, *self._values.shape[1:]), self._values.dtype)
        first, last = max(start, self._first), min(stop, self.stop)
        if first < last:
            found[first - start : last - start] = self._values[first - self._first : last - self._first]
        return found

    def forget(self, before: int) -> None:
        """Drop the values before this place."""
        dropped = min(max(0, before - self._first), len(self._values))
        self._values, self._first = self._values[dropped:].copy(), self._first + dropped

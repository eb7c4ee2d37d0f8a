"""Stretches of True in a row of booleans."""

from __future__ import annotations

import numpy as np


def stretches(found: np.ndarray) -> list[tuple[int, int]]:
    """(T,) bool -> first index of every stretch of True, and the index after it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.asarray(found, bool), [False]])))
    return [(int(first), int(after)) for first, after in zip(edges[::2], edges[1::2], strict=True)]

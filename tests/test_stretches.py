"""Stretches of True, at the ends and in between."""

from __future__ import annotations

import numpy as np
import pytest

from moda.stretches import stretches


@pytest.mark.parametrize(
    ("row", "found"),
    [("", []), ("0", []), ("1", [(0, 1)]), ("110100", [(0, 2), (3, 4)]), ("0011", [(2, 4)]), ("111", [(0, 3)])],
)
def test_first_and_after_of_each(row: str, found: list[tuple[int, int]]) -> None:
    assert stretches(np.array([value == "1" for value in row], bool)) == found

"""What a metric gives: a number, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NotAvailable:
    """Something that cannot be had here; `why` is printed in the cell, never a number."""

    why: str

    def __str__(self) -> str:
        return f"not available: {self.why}"


Value = float | NotAvailable

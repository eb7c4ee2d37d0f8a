"""What a page allows its users."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of one upload, one job, and all that wait."""

    upload_mb: int = 50
    """Megabytes (10^6 bytes) of a request: a voice, a picture."""
    seconds: int = 120
    """Seconds of a voice."""
    queue: int = 20
    """Jobs that wait; one more is refused."""
    at_once: int = 1
    """Jobs at a time."""
    keep_minutes: int = 60
    """Uploads and videos are removed after so many."""

    @property
    def upload_bytes(self) -> int:
        """Bytes of a request."""
        return self.upload_mb * 10**6

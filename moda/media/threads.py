"""One thread a process, for work that is spread over processes."""

from __future__ import annotations

import cv2


def use_one_thread() -> None:
    """Keep OpenCV from starting threads of its own in this process."""
    cv2.setNumThreads(1)

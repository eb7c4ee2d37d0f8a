"""Threads of what computes pictures. OpenCV's are those of a process; a forked one inherits their number alone."""

from __future__ import annotations

import cv2


def use_one_thread() -> None:
    """For a process that loads beside others, or starts such: OpenCV's threads would contend for the cores."""
    cv2.setNumThreads(1)

"""Ctrl-C and kill: finish the step, save, leave."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

log = logging.getLogger(__name__)


class StopSignal:
    """While entered, SIGINT and SIGTERM set `number`; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The first signal that came."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = self.number or number
        log.warning("%s: finishing the step, then saving; Ctrl-C once more stops at once", signal.Signals(number).name)

"""What every command shares: errors become one line and an exit code, logs go to stderr."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from moda.errors import ModaError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it (128 + SIGINT)."""
TERMINATED = 143
"""Exit code after `kill` (128 + SIGTERM)."""


def run(main: Callable[[list[str]], int], argv: Sequence[str] | None = None) -> int:
    """Call `main` with the arguments (default: those of the program) and return its exit code.

    A `ModaError` becomes one line on stderr and its exit code, Ctrl-C becomes 130, `kill` ends
    the command in order (temporary files are removed) with 143. Any other exception is a defect
    and keeps its traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _log_to_stderr()
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if in_main_thread else None
    try:
        return main(arguments)
    except ModaError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def _log_to_stderr() -> None:
    log = logging.getLogger("moda")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)

"""What every command shares: errors become one line and an exit code, logs go to stderr.

All text for people leaves through here, and `printable` is applied to it: prints to stdout, logs, errors and
what is said beside a progress bar. Names of files may hold anything; none of it acts on the terminal.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import TextIOBase
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TextIO

from moda.errors import ModaError
from moda.printing import log_to_stderr, printable

if TYPE_CHECKING:
    from rich.console import Console

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it (128 + SIGINT)."""
EXIT_TERMINATED = 143
"""Exit code after `kill` (128 + SIGTERM)."""


class Parser(argparse.ArgumentParser):
    """An argument parser that repeats names as they may be printed."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, end with exit code 2."""
        super().error(printable(message))


def positive(text: str) -> int:
    """The type of an option that takes a whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"wanted 1 or more, got {text}")
    return number


class _Printable(TextIOBase):
    """Stands for stdout: nothing that is written acts on the terminal, nothing fails for want of a character."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        shown = printable(text, keep="\n\t").encode(encoding, "backslashreplace").decode(encoding)
        self._stream.write(shown)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


@contextmanager
def importing() -> Iterator[None]:
    """A block that imports large modules, whose objects all stay: no garbage is looked for among them, then or later.

    A fifth of the time that torch and the rest take.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def say_on(console: Console) -> Callable[[str], None]:
    """A function that prints a line on a console, above its progress bar if there is one."""

    def say(line: str) -> None:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    return say


def _short(name: str) -> str:
    return name if len(name) <= 200 else f"{name[:200]}..."


def run(main: Callable[[list[str]], int], argv: Sequence[str] | None = None) -> int:
    """Call `main` with the arguments (default: those of the program) and return its exit code.

    A `ModaError`, and what the system says of a file, become one line on stderr and an exit code, Ctrl-C becomes
    130, `kill` ends the command in order (temporary files are removed) with 143. Any other exception is a defect
    and keeps its traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    log_to_stderr()
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if in_main_thread else None
    try:
        with redirect_stdout(_Printable(sys.stdout)):
            return main(arguments)
    except ModaError as error:
        print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {printable(f'{error.strerror}: {_short(str(error.filename))}')}", file=sys.stderr)
        return ModaError.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(EXIT_TERMINATED)

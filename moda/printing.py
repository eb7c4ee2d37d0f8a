"""What names and files hold, made fit for a terminal, a table or a page: all of it is shown, none of it acts."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_ACTING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters, marks of writing direction and other characters without a shape, lone surrogates."""
_BYTES = range(0xDC80, 0xDD00)
"""Surrogates that stand for the bytes of a file name that is not UTF-8."""


def printable(value: object, keep: str = "") -> str:
    """`str(value)` with escapes for what would act on a terminal, and for bytes that are no text.

    keep: characters that stay, such as the line feed where the text has several lines of its own.
    """

    def escaped(found: re.Match[str]) -> str:
        character = found[0]
        if character in keep:
            return character
        if ord(character) in _BYTES:
            return f"\\x{ord(character) - 0xDC00:02x}"
        return character.encode("unicode_escape").decode("ascii")

    text = str(value)
    return text if text.isascii() and text.isprintable() else _ACTING.sub(escaped, text)


_FORMULA_SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""First characters with which a spreadsheet takes a text for a formula."""


def csv_lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Rows, the header among them, as CSV with line feeds; a text that a spreadsheet would run begins with a quote."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    for row in rows:
        writer.writerow([_csv_cell(value) for value in row])
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """The whole of it."""
    return "".join(csv_lines(rows))


def _csv_cell(value: object) -> str:
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
"""What acts in LaTeX, or is another sign in its oldest fonts."""


def latex(text: object) -> str:
    """A text that LaTeX prints as it is."""
    return "".join(_LATEX.get(character, character) for character in printable(text))


def render_page(folder: Path, template: str = "page.html.j2", /, **values: object) -> str:
    """The page of a template in `folder` with these values: every value is printable text, none acts as HTML.

    Pages extend package_data/report.html.j2, which holds what reports share.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # no command loads it but to write a report
    from markupsafe import Markup

    def text(value: object) -> object:
        return value if isinstance(value, Markup) else printable(value)

    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent / "package_data"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=text,
    )
    return environment.get_template(template).render(values)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), keep="\n\t")


class _Once(logging.Filter):
    """Lets what is logged of a file through once, however often the file is read."""

    def __init__(self) -> None:
        super().__init__()
        self.logged: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        line = record.getMessage()
        again = record.name.startswith("moda.media") and line in self.logged
        self.logged.add(line)
        return not again


_ONCE = _Once()


def log_to_stderr(level: int = logging.INFO) -> None:
    """Show what this program's packages log, once; a worker process calls it, too."""
    _ONCE.logged.clear()
    for name in ("moda", "data_prepare"):
        log = logging.getLogger(name)
        if not log.handlers:
            handler = logging.StreamHandler()
            handler.setFormatter(_Formatter("%(message)s"))
            handler.addFilter(_ONCE)
            log.addHandler(handler)
            log.setLevel(level)

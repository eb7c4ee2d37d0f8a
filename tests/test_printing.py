"""Text that acts on a terminal or a page is shown instead."""

from __future__ import annotations

import csv
import logging
import os

import pytest
from jinja2 import UndefinedError

from moda.cli.main import Parser, run
from moda.errors import MediaError
from moda.printing import csv_text, printable, render_page

EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2028\r\nb" + os.fsdecode(b"\xe9")
SHOWN = r"a\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2028\r\nb\xe9"


def test_what_acts_is_shown():
    assert printable(EVIL) == SHOWN
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"
    assert printable("Zoë 王 🙂 a\\b") == "Zoë 王 🙂 a\\b"


def test_values_of_a_page_are_shown_and_never_act(tmp_path):
    (tmp_path / "page.html.j2").write_text(
        '<a title="{{ name }}">{{ name }}</a>{% macro m() %}<i>{% endmacro %}{{ m() }}'
    )
    shown = f"&lt;b&gt;{SHOWN}&#34;&#39;&amp;"
    assert render_page(tmp_path, name=f"<b>{EVIL}\"'&") == f'<a title="{shown}">{shown}</a><i>'
    with pytest.raises(UndefinedError, match="name"):
        render_page(tmp_path)


def test_nothing_that_a_command_says_acts_on_the_terminal(capsys):
    def main(arguments: list[str]) -> int:
        print(f"wrote {EVIL}", flush=True)  # noqa: T201
        # without the byte that is no UTF-8: pytest's processes cannot hand a captured log line with it to one another
        logging.getLogger("moda.test").info("looking at %s", EVIL[:-1])
        logging.getLogger("data_prepare.test").warning("looking at %s", EVIL[:-1])
        raise MediaError(f"cannot read {EVIL}")

    handlers = {name: logging.getLogger(name).handlers[:] for name in ("moda", "data_prepare")}
    for name in handlers:
        logging.getLogger(name).handlers.clear()  # those of other tests write elsewhere
    try:
        assert run(main, []) == 2
    finally:
        for name, before in handlers.items():
            logging.getLogger(name).handlers[:] = before
    said = capsys.readouterr()
    assert said.out == "wrote a\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202e\\u2028\\r\nb\\xe9\n"
    assert "\x1b" not in said.err and "\x9b" not in said.err
    assert said.err.count("looking at a\\x1b]0;owned") == 2 and "error: cannot read a\\x1b]0;owned" in said.err


def test_a_mistake_in_the_call_is_shown_too(capsys):
    with pytest.raises(SystemExit):
        Parser().parse_args([EVIL])
    assert "\x1b" not in capsys.readouterr().err


def test_a_spreadsheet_runs_no_cell():
    cells = ["=cmd|'/c calc'!A1", "+1+1", "-a", "@SUM(A1)", "＝1", "\t=1", "a=1", "-0.5", "+2", "-inf", -3, "", EVIL]
    shown = ["'=cmd|'/c calc'!A1", "'+1+1", "'-a", "'@SUM(A1)", "'＝1", "\\t=1", "a=1", "-0.5", "+2", "-inf", "-3", ""]
    assert list(csv.reader(csv_text([cells]).splitlines())) == [[*shown, SHOWN]]

"""Exit codes and one-line messages that all commands share."""

from __future__ import annotations

import logging
import os
import signal
import time

import pytest

from moda.cli.main import run
from moda.errors import MediaError, TrainingError


def test_arguments_and_exit_code_pass_through() -> None:
    seen: list[list[str]] = []

    def main(argv: list[str]) -> int:
        seen.append(argv)
        return 3

    assert run(main, ("a", "--b")) == 3
    assert seen == [["a", "--b"]]


def test_arguments_default_to_those_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["infer.py", "x.wav"])
    seen: list[list[str]] = []
    assert run(lambda argv: seen.append(argv) or 0) == 0
    assert seen == [["x.wav"]]


@pytest.mark.parametrize(("error", "code"), [(MediaError("no\nsuch  file: x"), 2), (TrainingError("nan"), 1)])
def test_an_error_for_people_is_one_line_without_traceback(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(argv: list[str]) -> int:
        raise error

    assert run(main, []) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: " + " ".join(str(error).split()) + "\n"


def test_a_defect_keeps_its_traceback() -> None:
    def main(argv: list[str]) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main, [])


def test_control_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: list[str]) -> int:
        raise KeyboardInterrupt

    assert run(main, []) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_kill_unwinds_and_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    def main(argv: list[str]) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            cleaned.append(True)
        return 0

    with pytest.raises(SystemExit) as ended:
        run(main, [])
    assert ended.value.code == 143
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_said_of_a_file_is_said_once_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger("moda"), "handlers", [])  # log to this test's stderr

    def main(argv: list[str]) -> int:
        for name in ("a.wav", "a.wav", "b.wav"):
            logging.getLogger("moda.media.audio").info("samples reach 1.34 in %s: scaled down to 1", name)
        for _ in range(2):
            logging.getLogger("moda.training.loading").info("training set: 3 samples")
        return 0

    for _ in range(2):
        assert run(main, []) == 0
        said = capsys.readouterr().err
        assert said.count("in a.wav") == said.count("in b.wav") == 1
        assert said.count("training set") == 2

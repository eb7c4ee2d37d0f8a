"""The `moda` command: which command is called, what is said of others, and that it is light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import moda
from moda.cli.commands import COMMANDS, main
from moda.locations import command

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_called_with_its_arguments(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert " ".join(capsys.readouterr().out.split()).startswith(f"usage: {command(name)} ")


@pytest.mark.parametrize("arguments", [["-m", "moda"], [str(REPOSITORY / "scripts" / "train.py")]])
def test_all_doors_lead_to_the_same_command(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, *arguments, *(["train"] if "-m" in arguments else []), "--config", "default/fcao"]
    environment = {"PATH": "", "PYTHONPATH": str(REPOSITORY)} if "-m" in arguments else {"PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no such configuration file: default/fcao; did you mean 'default/faco'?")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"moda {moda.__version__}\n"


@pytest.mark.parametrize(("typed", "meant"), [("trian", "train"), ("evaluate", "eval"), ("inferr", "infer")])
def test_a_mistyped_command(typed: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([typed, "--config", "x"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (f"error: no command '{typed}'; did you mean '{meant}'? there are: {', '.join(COMMANDS)}\n")


def test_no_command_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == "" and all(f"\n  {name} " in said.err for name in COMMANDS)
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == said.err


def test_the_command_itself_imports_no_library() -> None:
    code = "import sys, moda.cli.commands; print([m for m in sys.modules if m in ('numpy', 'torch', 'yaml', 'rich')])"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True)
    assert done.stdout.decode().strip() == "[]"

"""Who may import whom: the contracts of pyproject.toml, and that they would notice."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint_imports(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def test_every_contract_is_kept() -> None:
    code, output = lint_imports(ROOT)
    assert code == 0, output
    assert "0 broken" in output


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("moda/geometry.py", "from moda.training import config", "only from the layers below"),
        ("moda/nn/__init__.py", "import cv2", "Codecs, OpenCV and MediaPipe"),
        ("moda/errors.py", "import data_prepare", "Only the prepare command"),
    ],
)
def test_a_breach_is_noticed(tmp_path: Path, file: str, line: str, contract: str) -> None:
    for name in ("moda", "data_prepare"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with open(tmp_path / file, "a") as source:
        source.write(f"\n{line}\n")
    code, output = lint_imports(tmp_path)
    assert code != 0
    assert any(contract in text and "BROKEN" in text for text in output.splitlines()), output


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_scripts_import_one_command_of_their_own_checkout_and_nothing_else() -> None:
    scripts = sorted((ROOT / "scripts").glob("*.py"))
    assert scripts
    for script in scripts:
        names = imported(script) - {"sys", "pathlib", "__future__"}
        assert len(names) == 1 and names.pop().startswith("moda.cli."), script
        assert "sys.path.insert(0, str(Path(__file__).resolve().parents[1]))" in script.read_text(), script


def test_no_vague_names() -> None:
    vague = {"utils", "helpers", "common", "misc"}
    found = [p for name in ("moda", "data_prepare") for p in (ROOT / name).rglob("*") if p.stem in vague]
    assert found == []

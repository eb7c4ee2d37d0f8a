"""Who may import whom: the contracts of pyproject.toml, and that they would notice."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

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


BREACHES = {
    "moda/geometry.py": "from moda.training import config",
    "moda/stages/faco/network.py": "import moda.stages.renderer.network",
    "moda/nn/losses.py": "import moda.data.clip",
    "data_prepare/job.py": "import moda.training.config",
    "moda/errors.py": "import data_prepare",
    "moda/nn/__init__.py": "import cv2",
}
"""A line a contract that breaks it, by file, in the order of pyproject.toml."""


def test_a_breach_of_each_contract_is_noticed(tmp_path: Path) -> None:
    for name in ("moda", "data_prepare"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file, line in BREACHES.items():
        with open(tmp_path / file, "a") as source:
            source.write(f"\n{line}\n")
    code, output = lint_imports(tmp_path)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert code != 0 and len(contracts) == len(BREACHES)
    found = " ".join(output.split())
    for contract in contracts:
        assert f"{contract['name']} BROKEN" in found, output


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

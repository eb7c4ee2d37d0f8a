"""Whose moda an environment holds after `make`: .ci/environment.py, with real environments and real installs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "constraints.txt")


def checkout(folder: Path) -> Path:
    """A checkout with little in it."""
    (folder / "assets").mkdir(parents=True)
    for name in (".ci", "moda", "data_prepare", "configs"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SOURCES:
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


def environment(folder: Path) -> Path:
    """An environment that sees the packages of this one, so that nothing is downloaded, and holds none itself."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python3.*/site-packages"))
    (site / "zz_packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def make(checkout: Path, folder: Path) -> None:
    """What `make` in the checkout does with an environment whose dependencies are there."""
    spec = importlib.util.spec_from_file_location("environment", checkout / ".ci" / "environment.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.link_checkout(folder)


def used(folder: Path, pythonpath: str = "") -> Path:
    """The checkout whose moda the environment's `moda` command runs."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if pythonpath:
        clean["PYTHONPATH"] = pythonpath
    code = "import moda; print(moda.__file__)"
    python = folder / "bin" / "python"
    done = subprocess.run([python, "-c", code], cwd=folder, env=clean, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()).parents[1]


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_an_environment_runs_the_checkout_that_it_lies_in(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, second = checkout(tmp_path / "first"), checkout(tmp_path / "second")
    environment(first / ".venv")
    make(first, first / ".venv")
    assert used(first / ".venv") == first
    assert (first / ".venv" / "bin" / "moda").is_file()

    (second / ".venv").symlink_to(first / ".venv")
    before = contents(first / ".venv")
    make(second, second / ".venv")
    assert contents(first / ".venv") == before
    assert f"belongs to {first}" in capfd.readouterr().out
    assert used(first / ".venv") == first
    assert used(second / ".venv", pythonpath=str(second)) == second

    shutil.copytree(first, tmp_path / "copy", symlinks=True)
    make(tmp_path / "copy", tmp_path / "copy" / ".venv")
    assert used(tmp_path / "copy" / ".venv") == tmp_path / "copy"
    assert used(first / ".venv") == first


def test_a_link_to_an_environment_without_moda_leaves_it_so(tmp_path: Path) -> None:
    here, elsewhere = checkout(tmp_path / "here"), environment(tmp_path / "elsewhere")
    (here / ".venv").symlink_to(elsewhere)
    before = contents(elsewhere)
    make(here, here / ".venv")
    assert contents(elsewhere) == before


def test_a_shared_environment_stays_with_the_first_checkout_until_that_is_gone(tmp_path: Path) -> None:
    first, second = checkout(tmp_path / "first"), checkout(tmp_path / "second")
    shared = environment(tmp_path / "shared")
    make(first, shared)
    make(second, shared)
    assert used(shared) == first
    assert used(shared, pythonpath=str(second)) == second
    shutil.rmtree(first)
    make(second, shared)
    assert used(shared) == second

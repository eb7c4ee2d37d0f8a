"""Make or reuse the virtual environment: `environment.py install VENV [--extra test]`, `environment.py fingerprint`.

Dependencies only: the project itself is not installed, so that several checkouts can share one
environment; the Makefile puts the checkout on PYTHONPATH, which goes first. An environment inside
the checkout knows the checkout by a path file as well. Standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"


def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def fingerprint() -> str:
    """Hash of all that decides what is installed: dependencies, pins, Python's version."""
    table = project()
    parts = [table.get(key) for key in ("requires-python", "dependencies", "optional-dependencies")]
    text = json.dumps([*parts, CONSTRAINTS.read_text(), sys.version_info[:2]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def install(folder: Path, extra: str | None) -> None:
    """Bring an environment up to date; seconds if it already is."""
    wanted = fingerprint()
    # what `test` holds is enough without it too
    stamps = [folder / ".moda-test"] if extra else [folder / ".moda-run", folder / ".moda-test"]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if any(stamp.is_file() and stamp.read_text() == wanted for stamp in stamps):
            know_checkout(folder)
            print(f"environment: {folder} is up to date", flush=True)
            return
        print(f"environment: installing into {folder} (about 7 GB, a few minutes the first time)", flush=True)
        began = time.monotonic()
        python = folder / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        table = project()
        needed = table["dependencies"] + (table["optional-dependencies"][extra] if extra else [])
        requirements = folder / "requirements.txt"
        requirements.write_text("\n".join(needed) + "\n")
        pip = [python, "-m", "pip", "--disable-pip-version-check", "-qq"]
        subprocess.run([*pip, "install", "-c", CONSTRAINTS, "-r", requirements], check=True)
        subprocess.run([*pip, "check"], check=True)
        know_checkout(folder)
        stamps[0].write_text(wanted)
        print(f"environment: done in {time.monotonic() - began:.0f} s", flush=True)


def know_checkout(folder: Path) -> None:
    """Let an environment that lies in the checkout find it, so that scripts run without make too."""
    if folder.is_relative_to(ROOT):
        for site in folder.glob("lib/python3.*/site-packages"):
            (site / "moda_checkout.pth").write_text(f"{ROOT}\n")


def main() -> int:
    """Parse, do, exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fingerprint")
    installing = commands.add_parser("install")
    installing.add_argument("folder", type=Path)
    installing.add_argument("--extra")
    arguments = parser.parse_args()
    if arguments.command == "fingerprint":
        print(fingerprint())
        return 0
    try:
        install(arguments.folder.absolute(), arguments.extra)
    except subprocess.CalledProcessError as error:
        print(f"environment: failed: {' '.join(map(str, error.cmd))}; see the lines above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

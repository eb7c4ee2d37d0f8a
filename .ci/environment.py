"""Make or reuse the virtual environment: `environment.py install VENV [--extra test]`, `environment.py fingerprint`.

The dependencies, then this checkout as `pip install -e .`, which brings the `moda` command. Several checkouts may
share one environment: its `moda` stays the first checkout's, and the Makefile puts the current one on PYTHONPATH, which
has precedence. Standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
import urllib.parse
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"


def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def fingerprint() -> str:
    """Hash of everything that determines the installation: dependencies, pins, commands, Python's version."""
    table = project()
    parts = [table.get(key) for key in ("requires-python", "dependencies", "optional-dependencies", "scripts")]
    text = json.dumps([*parts, CONSTRAINTS.read_text(), sys.version_info[:2]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def install(folder: Path, extra: str | None) -> None:
    """Bring an environment up to date; seconds if it already is."""
    wanted = fingerprint()
    # an environment with the test tools serves without them too
    stamps = [folder / ".moda-test"] if extra else [folder / ".moda-run", folder / ".moda-test"]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if any(stamp.is_file() and stamp.read_text() == wanted for stamp in stamps):
            link_checkout(folder)
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
        subprocess.run([*pip(folder), "install", "-c", CONSTRAINTS, "-r", requirements], check=True)
        link_checkout(folder)
        subprocess.run([*pip(folder), "check"], check=True)
        stamps[0].write_text(wanted)
        print(f"environment: done in {time.monotonic() - began:.0f} s", flush=True)


def pip(folder: Path) -> list[str | Path]:
    """How to call the environment's pip."""
    return [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-qq"]


def link_checkout(folder: Path) -> None:
    """Install the checkout into the environment as a link to it, unless the environment is another's.

    An environment inside this checkout, not behind a symbolic link, is its own. Any other is linked only if its path
    was given without such a link, and if it holds no moda yet or the link to a checkout that no longer exists.
    """
    holds, linked = installed(folder)
    own = all(site.resolve().is_relative_to(ROOT) for site in sites(folder))
    if linked == ROOT:
        return
    named_through_link = folder.is_relative_to(ROOT) and not folder.resolve().is_relative_to(ROOT)
    gone = linked is not None and not linked.is_dir()
    if not own and (named_through_link or (holds and not gone)):
        print(f"environment: {folder} belongs to {linked or 'others'}: its moda stays; make uses this checkout's")
        return
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [*pip(folder), "install", "--no-deps", "--no-build-isolation", "-e", ROOT]
    subprocess.run(command, check=True, env=alone)


def sites(folder: Path) -> list[Path]:
    """The environment's site-packages."""
    return list(folder.glob("lib/python3.*/site-packages"))


def installed(folder: Path) -> tuple[bool, Path | None]:
    """Whether the environment holds a moda, and the checkout that it is a link to, if it is one."""
    for site in sites(folder):
        for record in site.glob("moda-*.dist-info"):
            source = record / "direct_url.json"
            tree = json.loads(source.read_text()) if source.is_file() else {}
            editable = tree.get("dir_info", {}).get("editable", False)
            return True, Path(urllib.parse.unquote(tree["url"].removeprefix("file://"))) if editable else None
    return False, None


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

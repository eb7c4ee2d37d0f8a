"""docs/serving/: what the container files call exists, and their commands are understood."""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from moda.cli.commands import COMMANDS
from tests.test_docs import parser_of

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "serving"


def understood(words: list[str]) -> argparse.Namespace:
    return parser_of(COMMANDS[words[0]][0]).parse_args(words[1:])


def commands() -> Iterator[list[str]]:
    """Arguments of `moda` in the YAML files and their comments."""
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    yield from (service["command"] for service in compose["services"].values() if "build" in service)
    for part in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()):
        if part["kind"] == "Deployment":
            containers = part["spec"]["template"]["spec"]["containers"]
            yield from (container["args"] for container in containers if "args" in container)
    for name in ("compose.yaml", "kubernetes.yaml"):
        yield from (found.split() for found in re.findall(r"# .*\b(infer --jobs .*)", (FOLDER / name).read_text()))


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_is_understood(words: list[str]) -> None:
    understood([str(word) for word in words])


def test_the_image_installs_extras_and_copies_files_that_exist() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = re.findall(r'"/src\[(.*?)\]"', text)
    assert set(wanted.split(",")) <= set(extras) and (ROOT / "constraints.txt").is_file()
    (python,) = re.findall(r"FROM python:(\S+)-slim", text)
    assert python in ("3.11", "3.12", "3.13", "3.14")
    (words,) = re.findall(r"^CMD (\[.*\])", text, re.MULTILINE)
    assert understood(ast.literal_eval(words)).host == "0.0.0.0"
    build = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["app"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT and (ROOT / build["dockerfile"]).is_file()


def test_the_ray_example_uses_names_that_exist() -> None:
    tree = ast.parse((FOLDER / "ray_serve.py").read_text())
    ours = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and str(node.module).startswith("moda")]
    assert ours
    for node in ours:
        module = __import__(str(node.module), fromlist=["_"])
        assert all(hasattr(module, name.name) for name in node.names), node.module

"""README and docs: commands parse, files, keys, messages and symbols exist, Python blocks run, links resolve."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

import moda
from moda.cli.commands import COMMANDS
from moda.config import Config, Tree, apply_overrides, load_yaml, parse
from moda.media.audio import read_audio, write_wav
from moda.metrics.registry import METRICS
from moda.stages.registry import STAGES

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("assets/*.md")),
]
FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
OF_OTHERS = {"pip", "pre-commit", "tensorboard", "export", "piper", "ffmpeg"}
"""Programs whose arguments are not checked here."""
FOLDERS = ("moda/", "configs/", "assets/", "docs/", "data_prepare/", "benchmarks/", "scripts/", "tests/")


class Block(NamedTuple):
    page: str
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    found = [Block(str(page.relative_to(ROOT)), *match) for page in PAGES for match in FENCE.findall(page.read_text())]
    return [block for block in found if block.language == language]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line of every shell block."""
    lines = [(block.page, line.strip()) for block in blocks("sh") for line in block.text.splitlines()]
    return [(page, line) for page, line in lines if line and not line.startswith("#")]


class _Caught(Exception):
    pass


@cache
def parser_of(module: str) -> argparse.ArgumentParser:
    """The parser that a program's `main` makes."""

    def catch(parser: argparse.ArgumentParser, *_: Any) -> None:
        raise _Caught(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", catch)
        with pytest.raises(_Caught) as caught:
            importlib.import_module(module).main([])
    return caught.value.args[0]


def check(words: list[str]) -> None:
    """Parse a command with its program's own parser and read what it names; raises what the program would."""
    program, *rest = words
    if program in ("python", "moda") and rest[0] == "-m":
        program, *rest = rest[1:]
    if program == "srun":
        check(rest)
    elif program == "torchrun":
        from torch.distributed.run import get_args_parser

        launched = get_args_parser().parse_args(rest)
        check([launched.training_script, *launched.training_script_args])
    elif program == "accelerate":
        from accelerate.commands.launch import launch_command_parser

        launched = launch_command_parser().parse_args(rest[1:])
        check([launched.training_script, *launched.training_script_args])
    elif program == "make":
        subprocess.run(["make", "-n", *rest], cwd=ROOT, check=True, capture_output=True)
    elif program == "moda":
        module = COMMANDS[rest[0]][0]
        read(rest[0], parser_of(module).parse_args(rest[1:]))
    elif program not in OF_OTHERS:
        parser_of(program).parse_args(rest)


def read(command: str, arguments: argparse.Namespace) -> None:
    """The configuration that a `moda` command would use, with its overrides: unknown keys are refused."""

    def tree(default: str) -> Tree:
        return apply_overrides(load_yaml(arguments.config or default), arguments.set)

    if command == "train":
        from moda.stages.registry import parse_sections
        from moda.training.config import TrainConfig

        config = parse(TrainConfig, tree(""), source="docs")
        parse_sections(config.stage, config.data, config.network, config.loss, source="docs")
    elif command in ("infer", "app", "live"):
        from moda.animation import InferenceConfig

        parse(InferenceConfig, tree("default/infer"), source="docs")
    elif command == "prepare":
        from moda.cli.prepare import PrepareConfig

        parse(PrepareConfig, tree("default/prepare"), source="docs")
    elif command in ("info", "convert", "doctor", "worker", "study"):
        assert not hasattr(arguments, "config")
    elif command == "ablate":
        from moda.evaluation.ablation.plan import AblationConfig

        parse(AblationConfig, tree(""), source="docs").only(arguments.variants)
    elif arguments.check is None:
        from moda.evaluation.config import read_config

        evaluation = read_config(arguments)
        evaluation.animations()
        evaluation.printed_table()


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_is_understood(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    try:
        check(words)
    except SystemExit as refused:
        assert refused.code == 0, f"{page}: {line}"
    for word in words:
        if word.startswith(FOLDERS):
            assert (ROOT / word).exists(), f"{page}: {word}"


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Options of a parser and of the parts that it has."""
    groups = parser._subparsers._group_actions if parser._subparsers else []
    parts = [part for action in groups for part in action.choices.values()]
    return {*parser._option_string_actions, *(option for part in parts for option in options_of(part))}


@pytest.mark.parametrize("block", blocks("sh"), ids=lambda block: block.page)
def test_shell_blocks_are_shell(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True, capture_output=True)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "CHANGELOG"], ids=lambda page: page.name)
def test_files_and_options_in_the_text_exist(page: Path) -> None:
    programs = [module for module, _ in COMMANDS.values()]
    programs += ["data_prepare.speech", *(f"benchmarks.{path.stem}" for path in runnable_benchmarks())]
    options = {option for module in programs for option in options_of(parser_of(module))}
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        words = code.split()
        if words[0] == "moda" and len(words) > 1 and not words[1].startswith("-") and words[1].islower():
            assert words[1] in COMMANDS, code
        if words[0] in ("moda", "python") or words[0].startswith("--"):
            unknown = {word for word in words if word.startswith("--")} - options - {"--help", "--version"}
            assert not unknown, code
        if words[:2] == ["python", "-m"]:
            assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file(), code
        if code.startswith(FOLDERS):
            assert list(ROOT.glob(code.rstrip("/"))), code


def test_keys_of_configurations_in_the_text_exist() -> None:
    for name in ("moda.animation", "moda.cli.prepare", "moda.evaluation.config", "moda.training.config"):
        importlib.import_module(name)
    _ = [STAGES[name] for name in STAGES]
    fields = {field for config in configs(Config) for field in config.model_fields}
    section = re.compile(r"`(?:network|loss|trainer|data|optimizer|options|checkpoints)\.(?!py)([\w.]+)")
    for page in (page for page in PAGES if page.stem != "CHANGELOG"):
        for key in section.findall(prose(page)):
            assert set(key.split(".")) <= fields, f"{page.name}: {key}"


def configs(base: type[Config]) -> Iterator[type[Config]]:
    for config in base.__subclasses__():
        yield config
        yield from configs(config)


def runnable_benchmarks() -> list[Path]:
    return [path for path in sorted(ROOT.glob("benchmarks/*.py")) if "__main__" in path.read_text()]


def test_every_benchmark_is_listed_and_parses() -> None:
    listed = " ".join(line for page, line in commands() if page == "docs/benchmarks.md")
    for path in runnable_benchmarks():
        assert f"python -m benchmarks.{path.stem}" in listed, path
    parsers = [word for word in listed.split() if word.startswith("benchmarks.")]
    assert {f"benchmarks.{path.stem}" for path in runnable_benchmarks()} == set(parsers)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def imports(text: str) -> str:
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, nodes))


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.page)
def test_python_compiles_and_its_imports_resolve(block: Block) -> None:
    compile(block.text, block.page, "exec")
    exec(imports(block.text), {})


def python_of(page: str) -> str:
    (block,) = (block for block in blocks("python") if block.page == page)
    return block.text


def test_the_readme_animates_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "demo.png").symlink_to(ROOT / "assets" / "demo.png")
    write_wav(tmp_path / "assets" / "demo.wav", read_audio(ROOT / "assets" / "demo.wav")[: 16_000 * 6 // 5])
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(python_of("README.md"), found)
    assert found["motion"].lips.shape == (30, 40, 3) and found["motion"].head.shape == (30, 7)
    assert found["frame"].shape == (256, 256, 3) and found["frame"].dtype == np.uint8
    still = found["portrait"].image
    difference = np.abs(found["frame"].astype(int) - still)
    assert 0.1 < difference.mean() < 40, "the frame is the portrait itself, or another picture"


def test_the_poses_of_the_docs_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(python_of("docs/data_preparation.md"), {})
    with np.load("pose.npz") as written:
        assert written["rotation"].shape == (25, 3) and str(written["convention"]) == "3ddfa_v2"


def test_the_metric_of_the_docs_is_measured() -> None:
    from moda.metrics.registry import ClipPair
    from moda.metrics.tracks import FaceTrack, PairedTracks

    face = FaceTrack(np.random.default_rng(0).normal(256, 60, (30, 478, 3)))
    exec(python_of("docs/extending.md"), {})
    value = METRICS.pop("mouth_speed").measure(ClipPair(PairedTracks(face, face)))
    assert isinstance(value, float) and value > 0


def symbols() -> Iterator[tuple[str, str, str]]:
    """(page, files, symbols) of every row of a table with these columns."""
    for page in PAGES:
        columns: list[str] = []
        for line in page.read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
            if not cells:
                columns = []
            elif not columns:
                columns = cells
            elif columns[-2:] == ["file", "symbol"] and not line.startswith("|---"):
                yield page.name, cells[-2], cells[-1]


@pytest.mark.parametrize(("page", "files", "names"), symbols())
def test_the_file_of_a_table_defines_the_symbol(page: str, files: str, names: str) -> None:
    defined = set()
    for file in re.findall(r"`([^`]+)`", files):
        for node in ast.parse((ROOT / file).read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
            defined |= {getattr(target, "name", getattr(target, "id", None)) for target in targets}
    assert set(re.findall(r"`([^`]+)`", names)) <= defined, (page, files, names)


def test_a_newcomer_has_ten_questions_answered() -> None:
    assert sum(page == "extending.md" for page, *_ in symbols()) >= 10


def test_sections_that_the_code_cites_exist() -> None:
    sections = set(re.findall(r"^## (\d)\. ", (ROOT / "docs" / "method.md").read_text(), re.MULTILINE))
    sources = [path for name in ("moda", "data_prepare", "configs") for path in (ROOT / name).rglob("*.*")]
    texts = [path.read_text() for path in sources if path.suffix in (".py", ".yaml", ".j2")]
    cited = re.findall(r"method\.md((?:,\s+sections?\s+[\d, and]+)?)", "\n".join(texts))
    assert all(cited) and set(re.findall(r"\d", " ".join(cited))) == sections
    assert not [text for text in texts if re.search(r"\bissue \d", text)]


def test_controls_have_the_names_of_the_report() -> None:
    from moda.evaluation.controls import CONTROLS

    readme, page = ((ROOT / name).read_text() for name in ("README.md", "docs/evaluation.md"))
    for name in CONTROLS:
        assert f"\n| *{name}* |" in readme and f"\n| {name} |" in page, name


@cache
def texts() -> list[str]:
    """Strings of the code, with `...` where values go."""
    found = []
    for path in (path for name in ("moda", "data_prepare") for path in sorted((ROOT / name).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%\.?\d*[dsfg]", "...", node.value))
    return found


def messages() -> list[tuple[str, str]]:
    """(page, message) of the tables whose first column is one."""
    rows = []
    for page in (ROOT / "docs" / "troubleshooting.md", ROOT / "docs" / "training.md"):
        for table in re.findall(r"^\| (?:message|line) \|.*?(?=^$|\Z)", page.read_text(), re.MULTILINE | re.DOTALL):
            rows += [(page.name, message) for message in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)]
    return rows


@pytest.mark.parametrize(("page", "message"), messages())
def test_messages_are_those_of_the_code(page: str, message: str) -> None:
    parts = [re.escape(part) for part in re.sub(r"\d+/\d+.*|\d+", "...", message).split("...") if part.strip()]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    assert any(pattern.search(text) for text in texts()), message


def test_the_readme_is_short_and_names_the_test_command_of_ci() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) < 150
    assert re.search(r"^make test\b", readme, re.MULTILINE)
    assert re.search(r"\bmake test\b", (ROOT / ".ci" / "run").read_text().split("set -euo")[1])
    for page in ("docs/" + path.name for path in ROOT.glob("docs/*.md")):
        assert f"]({page})" in readme, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_hold_nothing_of_our_own(page: Path) -> None:
    assert not re.search(r"\bissues? \d|[\s(]#\d|\.\./shared|/work/", page.read_text(), re.IGNORECASE)


def test_the_citation_is_of_this_version_and_names_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["authors"] and citation["message"]
    assert citation["version"] == moda.__version__
    assert "2307.10008" in citation["references"][0]["url"]


def test_public_ci_runs_the_same_command_on_every_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    job = workflow["jobs"]["test"]
    assert {"run": "make test"} in job["steps"]
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert used and all(re.fullmatch(r"[\w/-]+@v\d+", action) for action in used)
    assert all(isinstance(value, str) for step in job["steps"] for value in step.get("with", {}).values())
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", wanted).groups())  # type: ignore[union-attr]
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(low, high)]


def test_issue_templates_and_hooks_are_whole() -> None:
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        assert form["name"] and form["description"] and all(part["type"] and part["id"] for part in form["body"])
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for hook in hooks:
        command = hook["entry"].split("-m ")[1].replace(" --fix", "")
        assert f"-m {command}" in lint, hook

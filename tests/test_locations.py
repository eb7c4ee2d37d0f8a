"""Where configurations and checkpoints are found, and how commands are named in advice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from moda import checkpoint
from moda.checkpoint import Checkpoint
from moda.config import load_yaml
from moda.errors import CheckpointError, ConfigError
from moda.locations import command, find_checkpoint, find_config, locate, shipped

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["default/faco", "default/faco.yaml", "configs/default/faco.yaml"])
def test_a_config_that_ships_is_found_from_any_folder(empty: Path, name: str) -> None:
    assert find_config(name) == REPOSITORY / "configs/default/faco.yaml"
    assert load_yaml(name)["stage"] == "faco"


@pytest.mark.parametrize("own", ["default/faco.yaml", "configs/default/faco.yaml"])
def test_the_users_folder_goes_first(empty: Path, own: str) -> None:
    (empty / own).parent.mkdir(parents=True)
    (empty / own).write_text("mine: 1")
    assert load_yaml("default/faco") == {"mine": 1}


def test_a_folder_is_no_config(empty: Path) -> None:
    (empty / "default" / "faco").mkdir(parents=True)
    assert find_config("default/faco") == REPOSITORY / "configs/default/faco.yaml"
    with pytest.raises(ConfigError, match="cannot read the configuration default: a folder; "):
        find_config("default")


def test_a_users_config_may_build_on_one_that_ships(empty: Path) -> None:
    (empty / "mine.yaml").write_text("base: default/infer\nsize: 128")
    tree = load_yaml("mine.yaml")
    assert tree["size"] == 128 and tree["checkpoints"]["faco"] == "assets/checkpoints/faco.pt"


def test_a_wrong_name_is_told_with_the_nearest_and_what_is_there(empty: Path) -> None:
    with pytest.raises(ConfigError) as told:
        load_yaml("default/fcao")
    assert "did you mean 'default/faco'?" in str(told.value)
    assert all(f"default/{path.stem}" in str(told.value) for path in (REPOSITORY / "configs/default").glob("*.yaml"))
    with pytest.raises(CheckpointError, match=r"no such checkpoint: rendrer; did you mean 'renderer'\? .*audio2repr"):
        checkpoint.load(Path("rendrer"))


@pytest.mark.parametrize("name", ["assets/checkpoints/sync.pt", "sync"])
def test_a_checkpoint_that_ships_is_found_from_any_folder(empty: Path, name: str) -> None:
    assert find_checkpoint(name) == REPOSITORY / "assets/checkpoints/sync.pt"
    assert checkpoint.load(Path(name)).stage == "sync"


def test_a_checkpoint_of_the_users_is_never_mistaken(empty: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no such checkpoint: sync\.pt"):
        checkpoint.load(Path("sync.pt"))
    own = empty / "assets" / "checkpoints" / "sync.pt"
    checkpoint.save(own, Checkpoint("faco", {}, {}))
    assert checkpoint.load(Path("assets/checkpoints/sync.pt")).stage == "faco"


def test_what_is_nowhere_keeps_its_name(empty: Path) -> None:
    assert locate(Path("data/clips")) == Path("data/clips")
    assert locate("configs/default/infer.yaml") == shipped("configs/default/infer.yaml")
    assert shipped("assets/none.pt").name == "none.pt"


@pytest.mark.parametrize("there", [True, False])
def test_advice_names_a_command_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if there:
        (tmp_path / "moda").write_text("#!/bin/sh\n")
        (tmp_path / "moda").chmod(0o755)
    assert command("train") == ("moda train" if there else f"{sys.executable} -m moda train")

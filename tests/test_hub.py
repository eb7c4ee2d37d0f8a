"""Checkpoints as safetensors and as folders for model hubs: equal outputs both ways, offline unless asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moda import checkpoint
from moda.animation import AnimationConfig, CheckpointPaths
from moda.cli.convert import main
from moda.errors import CheckpointError, ConfigError, ModaError
from moda.hub import load_pretrained, push_to_hub, save_pretrained
from moda.pipeline import Animator
from moda.tracking.portrait import make_portrait
from tests.conftest import speech_like
from tests.random_checkpoints import write_checkpoints

pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_checkpoints(tmp_path_factory.mktemp("checkpoints"))


def test_a_folder_gives_the_same_pixels(paths: dict[str, Path], tmp_path: Path, astronaut: np.ndarray) -> None:
    config = AnimationConfig(checkpoints=CheckpointPaths(**paths), size=64, lip_contrast=1.5)
    folder = save_pretrained(tmp_path / "ein modell", config)
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "README.md", "audio2repr.safetensors", "faco.safetensors", "renderer.safetensors",
    }  # fmt: skip
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: moda\nlicense: apache-2.0\n")
    first, second = Animator.from_config(config, "cpu"), Animator.from_pretrained(folder, "cpu")
    assert second.config.lip_contrast == 1.5
    portrait, wave = make_portrait(astronaut, 64), speech_like(0.3)
    frames = [list(one.frames(one.motion(wave, portrait), portrait)) for one in (first, second)]
    assert np.array_equal(*frames)


def test_a_checkpoint_both_ways_is_the_same_one(paths: dict[str, Path], tmp_path: Path) -> None:
    there, back = tmp_path / "r.safetensors", tmp_path / "r.pt"
    assert main([str(paths["renderer"]), str(there)]) == 0 and main([str(there), str(back)]) == 0
    first, second = checkpoint.load(paths["renderer"]), checkpoint.load(back)
    assert first.config == second.config and first.signature == second.signature and first.stage == second.stage
    assert all(torch.equal(value, second.weights[name]) for name, value in first.weights.items())
    assert list(first.weights) == list(second.weights) or set(first.weights) == set(second.weights)


@pytest.mark.parametrize("kind", ["cut", "text", "empty", "foreign", "other stage"])
def test_safetensors_that_are_no_checkpoint_are_told(kind: str, paths: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "faco.safetensors"
    checkpoint.save(file, checkpoint.load(paths["renderer" if kind == "other stage" else "faco"]))
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    elif kind == "text":
        file.write_text("hello")
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "foreign":
        save_file({"a": torch.zeros(3)}, file)
    with pytest.raises(CheckpointError, match=r"faco\.safetensors"):
        checkpoint.load(file, stage="faco")


def test_folders_that_are_none_are_told(paths: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_pretrained(tmp_path)
    folder = save_pretrained(tmp_path / "a", AnimationConfig(checkpoints=CheckpointPaths(**paths), size=64))
    tree = json.loads((folder / "config.json").read_text())

    def changed(**change: Any) -> str:
        (folder / "config.json").write_text(json.dumps(tree | change))
        with pytest.raises(ModaError) as error:
            load_pretrained(folder)
        return str(error.value)

    assert "is of no model of this project" in changed(library_name="transformers")
    assert "is of format 9, wanted 1" in changed(format=9)
    assert "wanted a file beside it" in changed(stages={"faco": {"file": "../../etc/passwd"}})
    assert "wanted a file beside it" in changed(stages={"none": {"file": "a.safetensors"}})
    assert "'size'" in changed(animation={"size": 3})
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        load_pretrained(folder)


def test_a_repository_is_looked_for_in_the_cache_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    import socket

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("something was sent")

    monkeypatch.setattr(socket.socket, "connect", refused)
    with pytest.raises(ConfigError, match=r"cannot have nobody/nothing: .*; download=True fetches it"):
        load_pretrained("nobody/nothing")
    for name in ("no such folder", "../a/b", "a/b/c"):
        with pytest.raises(CheckpointError, match="a repository is named OWNER/NAME"):
            load_pretrained(name)


def test_what_is_published_is_the_folder(paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the network's part: the client's calls are recorded."""
    hub = pytest.importorskip("huggingface_hub")
    calls: list[Any] = []

    class Api:
        def __init__(self, token: str | None) -> None:
            pass

        def create_repo(self, name: str, **options: Any) -> None:
            calls.append((name, options))

        def upload_folder(self, repo_id: str, folder_path: Path) -> str:
            calls.append(sorted(path.name for path in folder_path.iterdir()))
            return "https://example.org/commit"

    monkeypatch.setattr(hub, "HfApi", Api)
    config = AnimationConfig(checkpoints=CheckpointPaths(**paths), size=64)
    assert push_to_hub(config, "me/model", private=True) == "https://example.org/commit"
    assert calls[0] == ("me/model", {"private": True, "exist_ok": True})
    assert "renderer.safetensors" in calls[1] and "config.json" in calls[1]


def test_a_library_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, paths: dict[str, Path], tmp_path: Path
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"pip install 'moda\[hub\]'"):
        checkpoint.save(tmp_path / "a.safetensors", checkpoint.load(paths["faco"]))
    assert not (tmp_path / "a.safetensors").exists()
    with pytest.raises(ConfigError, match=r"pip install 'moda\[hub\]'"):
        load_pretrained("some/model")

"""What tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.random_checkpoints import write_checkpoints


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An animation configuration of small networks with random weights, frames of 64 pixels."""
    folder = tmp_path_factory.mktemp("models")
    paths = write_checkpoints(folder)
    tree = {"checkpoints": {stage: str(path) for stage, path in paths.items()}, "size": 64}
    (folder / "infer.yaml").write_text(yaml.safe_dump(tree))
    return folder / "infer.yaml"

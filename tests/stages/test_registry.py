import subprocess
import sys

import pytest
import torch

from moda.errors import ConfigError
from moda.stages import STAGES, build_network, find_stage
from moda.training.stage import Stage


@pytest.mark.parametrize("name", sorted(STAGES))
def test_every_stage_is_what_its_name_says(name: str) -> None:
    stage = STAGES[name]
    assert issubclass(stage, Stage)
    assert stage.name == name
    assert find_stage(name) is stage


def test_unknown_stage_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown stage 'render' in a\.yaml.*did you mean 'renderer'"):
        find_stage("render", source="a.yaml")
    with pytest.raises(ConfigError, match="wanted one of audio2repr, faco, renderer"):
        build_network("nothing", {})
    with pytest.raises(KeyError):
        STAGES["nothing"]


def test_unknown_key_of_a_network_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'keep_input' in x\.pt.*'keep_inputs'|keep_input.*keep_inputs"):
        build_network("faco", {"keep_input": True}, source="x.pt")


def test_inference_does_not_need_the_weights_that_training_started_from() -> None:
    tiny = {"hidden": 16, "layers": 1, "heads": 2, "ffn": 16, "conv_dim": 16}
    config = {"kind": "paper", "d": 16, "wav2vec": {**tiny, "pretrained": "/nowhere", "init": "/nowhere.pt"}}
    assert isinstance(build_network("audio2repr", config), torch.nn.Module)


def test_registry_imports_no_stage_before_it_is_asked_for() -> None:
    code = (
        "import sys, moda.stages; "
        "sys.exit(any(m.startswith('moda.stages.') and m.endswith(('.stage', '.network')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

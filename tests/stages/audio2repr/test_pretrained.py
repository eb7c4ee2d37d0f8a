"""Defect 1 of the released code: weight initialisation ran over the pretrained speech encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Wav2Vec2Model

from moda.config import parse
from moda.nn.pretrained import transformers_config
from moda.nn.wav2vec import SpeechConfig
from moda.stages.audio2repr.config import NetworkConfig
from moda.stages.audio2repr.network import create

TINY = SpeechConfig(hidden=32, layers=1, heads=2, ffn=32, conv_dim=16)


@pytest.mark.parametrize("kind", ["paper", "flow"])
def test_stage_1_leaves_pretrained_weights_as_they_are(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(7)
    Wav2Vec2Model(transformers_config(TINY)).save_pretrained(tmp_path)
    torch.manual_seed(1)
    encoder = {**TINY.model_dump(), "pretrained": str(tmp_path)}
    tree = {"kind": kind, "d": 16, "layers": 1, "ffn": 16, "lip_hidden": [16], "wav2vec": encoder}
    found = create(parse(NetworkConfig, tree, source="test")).wav2vec.model.state_dict()
    stored = Wav2Vec2Model.from_pretrained(tmp_path).state_dict()
    assert found.keys() == stored.keys() and len(stored) > 20
    for name, value in stored.items():
        assert torch.equal(found[name], value), name

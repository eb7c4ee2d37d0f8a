"""What is frozen has weights of some training: a run that would freeze random ones is refused, whatever its stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import Wav2Vec2Model

from moda.cli import ablate, train
from moda.config import apply_overrides, load_yaml, parse
from moda.data.store import ClipStore
from moda.errors import ConfigError
from moda.nn.pretrained import transformers_config
from moda.stages import find_stage
from moda.stages.audio2repr.config import NetworkConfig
from moda.training.config import TrainConfig
from moda.training.initial_weights import require_weights

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
TRAINED = sorted(path for path in CONFIGS.glob("**/*.yaml") if "stage" in load_yaml(path))
HEARING = [path for path in TRAINED if load_yaml(path)["stage"] in ("audio2repr", "speech")]
SMALL = ("network.wav2vec.hidden=32", "network.wav2vec.layers=1", "network.wav2vec.heads=2", "network.wav2vec.ffn=32",
         "network.wav2vec.conv_dim=16", "data.lengths=[25]", "trainer.steps=1", "trainer.batch=2",
         "trainer.workers=0")  # fmt: skip


def check(path: Path, *overrides: str) -> None:
    config = parse(TrainConfig, apply_overrides(load_yaml(path), overrides), source=str(path))
    stage = find_stage(config.stage)
    network, loss = (
        parse(cls, section, source=str(path))
        for cls, section in ((stage.NetworkConfig, config.network), (stage.LossConfig, config.loss))
    )
    if config.init is None:
        require_weights(stage, network, loss)


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_no_shipped_configuration_freezes_noise(path: Path) -> None:
    check(path)


@pytest.mark.parametrize("setting", ["freeze", "freeze_cnn"])
@pytest.mark.parametrize("path", HEARING, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_configuration_refuses_to_freeze_random_weights(path: Path, setting: str) -> None:
    random = ("init=null", "network.wav2vec.init=null", "network.wav2vec.pretrained=null", "loss.train=all")
    with pytest.raises(ConfigError, match=f"{setting}.*true with random weights"):
        check(
            path,
            *(random if load_yaml(path)["stage"] == "audio2repr" else random[2:3]),
            f"network.wav2vec.{setting}=true",
        )


def test_what_pretrained_has_no_weights_for_may_not_be_frozen_either() -> None:
    with pytest.raises(ConfigError, match="phonetic projection"):
        check(CONFIGS / "paper" / "audio2repr.yaml", "network.wav2vec.freeze=true", "network.wav2vec.phonetic=48")


def test_the_stochastic_part_alone_needs_trained_lips() -> None:
    with pytest.raises(ConfigError, match=r"loss\.train: stochastic leaves the lips"):
        check(CONFIGS / "default" / "audio2repr_stochastic.yaml", "init=null")


def call(store: ClipStore, output: Path, *settings: str, dry: bool = False) -> int:
    sets = [f"data.store={store.root}", f"output={output}", *SMALL, *settings]
    words = ["--config", str(CONFIGS / "paper" / "audio2repr.yaml"), "--device", "cpu"]
    return train.main([*words, *(word for text in sets for word in ("--set", text)), *(["--dry-run"] if dry else [])])


def errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


def test_the_papers_stage_1_says_what_it_wants(
    clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for dry in (False, True):
        assert call(clip_store, tmp_path / "out", "network.wav2vec.pretrained=null", dry=dry) == 2
        (line,) = errors(capsys)
        assert "network.wav2vec.freeze_cnn: true with random weights" in line and "pretrained=FOLDER" in line
    assert call(clip_store, tmp_path / "out", "network.wav2vec.pretrained=/no/such/folder") == 2
    (line,) = errors(capsys)
    assert "there is no folder /no/such/folder" in line
    assert not (tmp_path / "out").exists()


def test_the_papers_stage_1_starts_from_a_folder_or_at_random_with_nothing_frozen(
    clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = apply_overrides(load_yaml(CONFIGS / "paper" / "audio2repr.yaml"), SMALL)["network"]
    Wav2Vec2Model(transformers_config(parse(NetworkConfig, settings, source="test").wav2vec)).save_pretrained(
        tmp_path / "w"
    )
    assert call(clip_store, tmp_path / "out", f"network.wav2vec.pretrained={tmp_path / 'w'}", dry=True) == 0
    assert "generator/kl" in capsys.readouterr().out
    random: tuple[str, ...] = ("network.wav2vec.pretrained=null", "network.wav2vec.freeze_cnn=false")
    assert call(clip_store, tmp_path / "out", *random, dry=True) == 0


def test_an_ablation_is_refused_before_its_first_run(
    clip_store: ClipStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changes: Any = "{audio2repr: [network.wav2vec.init=null, network.wav2vec.freeze=true]}"
    words = ["--config", str(CONFIGS / "ablation" / "stage1.yaml"), "--dry-run"]
    for text in (f"store={clip_store.root}", f"output={tmp_path / 'out'}", "split=val", f"train_set={changes}"):
        words += ["--set", text]
    assert ablate.main(words) == 2
    assert "true with random weights" in capfd.readouterr().err

"""The paper's chain, one configuration a command: train its three stages, animate, score. Small networks, few steps."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from transformers import Wav2Vec2Model

from moda import checkpoint
from moda.cli import evaluate, infer, train
from moda.config import apply_overrides, load_yaml, parse
from moda.data.store import ClipStore
from moda.media.audio import write_wav
from moda.media.video import probe
from moda.nn.pretrained import transformers_config
from moda.stages.audio2repr.config import NetworkConfig
from tests.conftest import speech_like

ROOT = Path(__file__).resolve().parents[1]
PAPER = ROOT / "configs" / "paper"
ENCODER = ("hidden=32", "layers=1", "heads=2", "ffn=32", "conv_dim=16")
SMALL = {
    "audio2repr": [*(f"network.wav2vec.{size}" for size in ENCODER), "data.lengths=[25]"],
    "faco": ["network.width=16", "data.lengths=[25]"],
    "renderer": [
        "network.size=256", "network.width=4", "network.discriminator={scales: 1, layers: 2, width: 4}",
        "data.held_out=null",  # the footage of the test is too short to hold any out
    ],
}  # fmt: skip
"""What is smaller than in the paper; all else is configs/paper."""
QUICK = ["trainer.steps=2", "trainer.batch=2", "trainer.workers=0", "trainer.log_every=1"]


def sets(*settings: str) -> list[str]:
    return [word for text in settings for word in ("--set", text)]


def test_train_animate_and_score(clip_store: ClipStore, tmp_path: Path) -> None:
    network = apply_overrides(load_yaml(PAPER / "audio2repr.yaml"), SMALL["audio2repr"])["network"]
    encoder = parse(NetworkConfig, network, source="test").wav2vec
    Wav2Vec2Model(transformers_config(encoder)).save_pretrained(tmp_path / "wav2vec")
    runs = tmp_path / "runs"
    for stage, small in SMALL.items():
        start = [f"network.wav2vec.pretrained={tmp_path / 'wav2vec'}"] if stage == "audio2repr" else []
        changes = sets(f"data.store={clip_store.root}", f"output={runs / stage}", *QUICK, *small, *start)
        assert train.main(["--config", str(PAPER / f"{stage}.yaml"), "--device", "cpu", *changes]) == 0
        best = checkpoint.load(runs / stage / "best.pt", stage=stage)
        assert best.info["step"] == 2, "the last step, whatever its score"
        assert best.config["optimizer"]["betas"] == [0.9, 0.99]
    stored = Wav2Vec2Model.from_pretrained(tmp_path / "wav2vec").state_dict()
    trained = checkpoint.load(runs / "audio2repr" / "best.pt").weights
    frozen = [name for name in stored if name.startswith("feature_extractor.")]
    assert frozen and all(bool((trained[f"wav2vec.model.{name}"] == stored[name]).all()) for name in frozen)
    assert any(bool((trained[f"wav2vec.model.{name}"] != stored[name]).any()) for name in stored)

    changes = [*(f"checkpoints.{stage}={runs / stage / 'best.pt'}" for stage in SMALL), "size=256", "preset=ultrafast"]
    talking = tmp_path / "talking.mp4"
    write_wav(tmp_path / "said.wav", speech_like(0.6))
    inputs = [
        str(tmp_path / "said.wav"),
        str(ROOT / "assets" / "demo.png"),
        "--output",
        str(talking),
        "--device",
        "cpu",
    ]
    assert infer.main([*inputs, "--config", str(PAPER / "infer.yaml"), *sets(*changes)]) == 0
    assert (probe(talking).width, probe(talking).fps) == (256, 25.0)

    tree = load_yaml(ROOT / "configs" / "eval" / "paper.yaml")
    # two steps do not make a renderer that draws a face: the shipped one shows what stages 1 and 2 made
    tree["sets"]["MODA (paper)"]["set"] = [*changes, "checkpoints.renderer=assets/checkpoints/renderer.pt"]
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump(tree))
    scoring = sets(f"truth={clip_store.root}", "split=val", f"output={tmp_path / 'scores'}", "seeds=[0]", "jobs=1")
    skip = ["--skip", "niqe", "tcm", "ssim", "psnr", "sync_c", "sync_d", "sync_offset", "sync_c0"]
    assert evaluate.main(["--config", str(tmp_path / "eval.yaml"), *scoring, *skip, "--device", "cpu"]) == 0
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert scores["methods"]["MODA (paper)"]["metrics"]["lmd"]["mean"] > 0
    assert "settings its Sync was" in scores["printed"]["note"]

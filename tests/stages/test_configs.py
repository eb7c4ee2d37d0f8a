"""Every train YAML is accepted by its stage, and the paper's hold the paper's numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch

from data_prepare.splits import SplitRule
from moda import checkpoint
from moda.animation import AnimationConfig
from moda.config import load_yaml, parse
from moda.evaluation.config import EvaluationConfig
from moda.stages import find_stage
from moda.stages.registry import build_stage
from moda.training.config import TrainConfig

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob("**/*.yaml") if "stage" in load_yaml(path))
PAPER = [name for name in FILES if name.startswith("paper/")]
SPEAKERS = {"may": "May", "obama1": "Obama1", "obama2": "Obama2", "nadella": "Nadella", "mcstay": "McStay"}


def read(name: str) -> TrainConfig:
    return parse(TrainConfig, load_yaml(CONFIGS / name), source=name)


def test_there_are_three_stages_in_three_sizes() -> None:
    wanted = {
        f"{kind}/{stage}.yaml" for kind in ("paper", "default", "debug") for stage in ("audio2repr", "faco", "renderer")
    }
    assert wanted <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_section_is_accepted(name: str) -> None:
    config = read(name)
    stage = find_stage(config.stage, source=name)
    parse(stage.DataConfig, config.data, source=name, section="data")
    parse(stage.NetworkConfig, config.network, source=name, section="network")
    parse(stage.LossConfig, config.loss, source=name, section="loss")
    file = Path(name)
    if file.stem not in SPEAKERS and file.parts[0] != "ablation":
        assert config.stage == file.stem.split("_")[0]
    if name != "default/renderer_person.yaml":
        assert config.output == Path("runs") / Path(name).with_suffix("")


def test_a_person_starts_from_the_shipped_renderer() -> None:
    config, base = read("default/renderer_person.yaml"), read("default/renderer.yaml")
    assert config.init == Path("assets/checkpoints/renderer.pt") and config.output == Path("runs/person")
    assert config.network == base.network
    assert 0.15 <= config.data["held_out"] <= 0.2


@pytest.mark.parametrize(
    ("size", "file"),
    [(64, "renderer"), (256, "renderer"), (258, "renderer_512"), (512, "renderer_512"), (1024, "renderer_512")],
)
def test_the_size_of_the_frames_chooses_the_renderer(size: int, file: str) -> None:
    assert AnimationConfig(size=size).named()["renderer"] == Path(f"assets/checkpoints/{file}.pt")
    mine = AnimationConfig.model_validate({"size": size, "checkpoints": {"renderer": "mine.pt"}})
    assert mine.named()["renderer"] == Path("mine.pt")
    assert mine == AnimationConfig.model_validate(mine.model_dump(mode="json"))
    assert mine.model_dump(mode="json")["checkpoints"]["renderer"] == "mine.pt"
    with pytest.raises(ValueError, match="wanted a file, or files by size of the frames"):
        AnimationConfig.model_validate({"checkpoints": {"renderer": {}}})


def test_the_stochastic_part_starts_from_the_run_of_the_lips_with_the_same_network() -> None:
    lips, stochastic = read("default/audio2repr_lips.yaml"), read("default/audio2repr_stochastic.yaml")
    assert stochastic.init == lips.output / "best.pt" and stochastic.network == lips.network
    assert (lips.loss["train"], stochastic.loss["train"]) == ("lips", "stochastic")
    assert {**lips.loss, "train": "all"} == {**stochastic.loss, "train": "all"} == read("default/audio2repr.yaml").loss


@pytest.mark.parametrize(
    ("stage", "batch"),
    [("audio2repr", 32), ("faco", 32), ("renderer", 4)],
)
def test_papers_training(stage: str, batch: int) -> None:
    """One optimiser for all stages; nothing is clipped, averaged, warmed up or selected, and audio stays as it is."""
    for name in PAPER:
        config = read(name)
        if config.stage != stage:
            continue
        optimizer, trainer = config.optimizer, config.trainer
        assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (1e-4, (0.9, 0.99), 0)
        assert (optimizer.clip, optimizer.warmup, optimizer.schedule) == (0, 0, "constant")
        assert (trainer.batch, trainer.best, trainer.ema, trainer.accumulate) == (batch, "last", 0, 1)
        if stage != "renderer":
            assert config.loss["standardise"] is False
            assert config.data["subject_mix"] == 0 and tuple(config.data["lengths"]) == (300,)


def test_a_renderer_of_one_person_keeps_the_end_of_the_time_aside() -> None:
    for name in ("paper/renderer.yaml", "paper/renderer_256.yaml"):
        assert read(name).data["held_out"] == 0.2
    large, small = (read(name).network for name in ("paper/renderer.yaml", "paper/renderer_256.yaml"))
    assert (large["size"], small["size"], large["warp"], small["warp"]) == (512, 256, False, False)


def test_five_speakers_each_with_a_renderer() -> None:
    outputs = {}
    for file, identity in SPEAKERS.items():
        config = read(f"paper/lsp/{file}.yaml")
        assert config.network == read("paper/renderer.yaml").network
        assert [config.data[key] for key in ("store", "identity", "held_out")] == ["data/lsp", identity, None]
        outputs[identity] = config.output / "best.pt"
    section = load_yaml(CONFIGS / "eval" / "paper_lsp.yaml")["sets"]["MODA (paper)"]
    assert section["people"] == {who: [f"checkpoints.renderer={path}"] for who, path in outputs.items()}
    rule = load_yaml(CONFIGS / "paper" / "lsp" / "prepare.yaml")
    assert rule["split_by"] == "time" and SplitRule.parse(rule["split"], by_time=True).shares["test"] == 0.2


@pytest.mark.parametrize(
    ("infer", "trained"),
    [
        ("paper/infer.yaml", {"audio2repr": "paper/audio2repr", "faco": "paper/faco", "renderer": "paper/renderer"}),
        ("paper/infer_256.yaml", {"renderer": "paper/renderer_256"}),
        (
            "paper/lsp/infer.yaml",
            {"audio2repr": "paper/lsp/audio2repr", "faco": "paper/lsp/faco", "renderer": "paper/lsp/may"},
        ),
    ],
)
def test_the_papers_chain_fits_together(infer: str, trained: dict[str, str]) -> None:
    """Inference reads what training writes, at the size it was trained for, and adds nothing but the paper's filter."""
    config = parse(AnimationConfig, load_yaml(CONFIGS / infer), source=infer)
    for stage, name in trained.items():
        assert config.named()[stage] == read(f"{name}.yaml").output / "best.pt"
    assert config.size == read(f"{trained['renderer']}.yaml").network["size"]
    assert config.smoothing.model_dump() == {
        "lips": 1.5, "eyes": 2, "rotation": 4, "translation": 6, "torso": 4, "face": 5,
    }  # fmt: skip
    assert (config.lip_contrast, config.flow_steps, config.pauses, config.fps) == (1, None, None, 25)
    assert set(config.gains.model_dump().values()) == {1}


@pytest.mark.parametrize(
    ("name", "animation"),
    [("paper", "paper/infer.yaml"), ("paper_lsp", "paper/lsp/infer.yaml"), ("default", "default/infer.yaml")],
)
def test_every_chain_is_scored_by_one_configuration(name: str, animation: str) -> None:
    tree = load_yaml(CONFIGS / "eval" / f"{name}.yaml")
    config = parse(EvaluationConfig, tree, source=name)
    (section,) = config.sets.values()
    assert section.config == Path("configs") / animation and config.printed is not None
    assert {made.size for made in config.animations().values()} == {512}


def weights(stage: str) -> dict[str, Any]:
    return read(f"paper/{stage}.yaml").loss


def test_papers_losses() -> None:
    audio = weights("audio2repr")
    assert audio["lips_velocity"] == audio["others_velocity"] == audio["opening"] == 0
    assert audio["kl"] > 0
    assert weights("faco") == {"standardise": False, "l1": 10.0, "adversarial": 1.0}
    renderer = weights("renderer")
    assert renderer == {"adversarial": 1.0, "l1": 100.0, "feature_matching": 10.0, "perceptual": 10.0, "style": 10.0}


def test_the_default_stage_1_starts_from_the_shipped_speech_encoder_wherever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stage = build_stage(read("default/audio2repr.yaml"), source="default")
    shipped = checkpoint.load(CONFIGS.parent / "assets" / "checkpoints" / "speech_encoder.pt").weights
    same = {name for name, value in stage.network.state_dict().items() if torch.equal(value, shipped.get(name, -value))}
    assert shipped.keys() <= same
    assert "heads.lips.layers.0.weight" not in same
    said = "random weights and the speech encoder of assets/checkpoints/speech_encoder.pt, which stays as it is"
    assert stage.start == said

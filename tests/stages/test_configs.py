"""Every train YAML is accepted by its stage, and the paper's hold the paper's numbers."""

from pathlib import Path
from typing import Any

import pytest

from moda.config import load_yaml, parse
from moda.stages import find_stage
from moda.training.config import TrainConfig

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(
    str(path.relative_to(CONFIGS)) for path in CONFIGS.glob("*/*.yaml") if "stage" in load_yaml(path) and path.stem
)


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
    assert config.stage == Path(name).stem.split("_")[0]
    if name != "default/renderer_person.yaml":
        assert config.output == Path("runs") / Path(name).with_suffix("")


def test_a_person_starts_from_the_shipped_renderer() -> None:
    config, base = read("default/renderer_person.yaml"), read("default/renderer.yaml")
    assert config.init == Path("assets/checkpoints/renderer.pt") and config.output == Path("runs/person")
    assert config.network == base.network
    assert 0.15 <= config.data["held_out"] <= 0.2


def test_the_draws_start_from_the_run_of_the_lips_with_the_same_network() -> None:
    lips, draws = read("default/audio2repr_lips.yaml"), read("default/audio2repr_draws.yaml")
    assert draws.init == lips.output / "best.pt" and draws.network == lips.network
    assert {name for name, weight in draws.loss.items() if weight} == {"flow", "blinks"}


@pytest.mark.parametrize(
    ("stage", "betas", "batch"),
    [("audio2repr", (0.9, 0.99), 32), ("faco", (0.9, 0.99), 32), ("renderer", (0.5, 0.999), 4)],
)
def test_papers_optimiser(stage: str, betas: tuple[float, float], batch: int) -> None:
    config = read(f"paper/{stage}.yaml")
    assert config.optimizer.lr == 1e-4
    assert config.optimizer.betas == betas
    assert config.optimizer.weight_decay == 0
    assert config.trainer.batch == batch


def weights(stage: str) -> dict[str, Any]:
    return read(f"paper/{stage}.yaml").loss


def test_papers_losses() -> None:
    audio = weights("audio2repr")
    assert audio["lips_velocity"] == audio["others_velocity"] == audio["opening"] == 0
    assert audio["kl"] > 0
    assert weights("faco") == {"l1": 10.0, "adversarial": 1.0}

"""The loop, with two real stages small enough to train in milliseconds."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import Dataset

from moda import checkpoint as checkpoints
from moda.config import Config, parse
from moda.errors import CheckpointError, ConfigError, DataError, OutputError, TrainingError
from moda.moments import Moments
from moda.normalization import Normalizer
from moda.training.config import TrainConfig
from moda.training.dry_run import dry_run
from moda.training.randomness import seed_everything
from moda.training.stage import Stage
from moda.training.trainer import Trainer

torch.set_num_threads(1)


class TinyData(Config):
    samples: int = 10
    validation: int = 4
    poison: int = -1
    """Index of a sample that is not finite."""


class TinyNetwork(Config):
    width: int = 6


class TinyLoss(Config):
    weight: float = 1.0


class Points(Dataset[dict[str, Tensor]]):
    def __init__(self, samples: int, poison: int = -1) -> None:
        self.samples, self.poison = samples, poison

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        x = torch.randn(5) + float(np.random.rand())
        return {"x": x * torch.nan if index == self.poison else x, "y": x.sum(0, keepdim=True)}


class Regressor(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.normalizer = Normalizer(5)
        self.layers = nn.Sequential(
            nn.Linear(5, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.normalizer.normalize(x))


class TinyStage(Stage):
    """One trainable, with dropout, batch norm, statistics and noise: all that a resume could lose."""

    name = "tiny"
    DataConfig, NetworkConfig, LossConfig = TinyData, TinyNetwork, TinyLoss

    def __init__(self, data: TinyData, network: TinyNetwork, loss: TinyLoss) -> None:
        super().__init__(data, network, loss)
        self.data, self.loss = data, loss
        self.regressor = Regressor(network.width)
        self.history: list[float] = []
        self.scores: list[float] | None = None

    @property
    def trainables(self) -> dict[str, nn.Module]:
        return {"regressor": self.regressor}

    @property
    def network(self) -> nn.Module:
        return self.regressor

    def datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        return Points(self.data.samples, self.data.poison), Points(self.data.validation)

    def prepare(self, train: Dataset[Any]) -> None:
        values = np.stack([train[i]["x"].numpy() for i in range(len(train))])  # type: ignore[arg-type]
        self.regressor.normalizer.assign(Normalizer.from_moments(Moments.of(values)))

    def losses(self, batch: Any, generator: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
        noise = 0.1 * torch.randn(batch["x"].shape, generator=generator)
        error = self.regressor(batch["x"] + noise) - batch["y"]
        self.history.append(float(error.detach().abs().mean()))
        yield "regressor", {"l1": self.loss.weight * error.abs().mean(), "l2": error.square().mean()}

    def validate(self, batch: Any) -> dict[str, float]:
        assert not self.training and not torch.is_grad_enabled()
        if self.scores is not None:
            return {"score": self.scores.pop(0)}
        return {"score": float((self.regressor(batch["x"]) - batch["y"]).abs().mean()), "draw": float(torch.rand(1))}

    def preview(self, batch: Any) -> dict[str, np.ndarray]:
        return {"still": np.full((8, 8, 3), 7, np.uint8), "moving": np.zeros((3, 8, 8, 3), np.uint8)}


class TinyGan(TinyStage):
    """Discriminator first, then the generator against the updated discriminator."""

    name = "gan"

    def __init__(self, data: TinyData, network: TinyNetwork, loss: TinyLoss) -> None:
        super().__init__(data, network, loss)
        self.discriminator = nn.Sequential(nn.Linear(6, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))
        self.seen: list[tuple[Tensor, Tensor, bool]] = []

    @property
    def trainables(self) -> dict[str, nn.Module]:
        return {"generator": self.regressor, "discriminator": self.discriminator}

    def losses(self, batch: Any, generator: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
        x, first = batch["x"], self.discriminator[0].weight
        fake = self.regressor(x)
        before = first.detach().clone()
        judged = [self.discriminator(torch.cat((x, y), 1)) for y in (batch["y"], fake.detach())]
        yield "discriminator", {"real": (judged[0] - 1).square().mean(), "fake": judged[1].square().mean()}
        gradient = first.grad.clone()  # type: ignore[union-attr]
        updated = not torch.equal(before, first)
        yield "generator", {"gan": (self.discriminator(torch.cat((x, fake), 1)) - 1).square().mean()}
        self.seen.append((gradient, first.grad.clone(), updated))  # type: ignore[union-attr]


def make_config(output: Path, **sections: Any) -> TrainConfig:
    trainer = {"steps": 4, "batch": 4, "log_every": 1, **sections.pop("trainer", {})}
    tree = {"stage": "tiny", "output": output, "device": "cpu", "trainer": trainer, **sections}
    return parse(TrainConfig, {"optimizer": {"lr": 0.01}, **tree}, source="test")


def make(config: TrainConfig, kind: type[TinyStage] = TinyStage, *, fresh: bool = False) -> Trainer:
    seed_everything(config.seed)
    parts = (TinyData(**config.data), TinyNetwork(**config.network), TinyLoss(**config.loss))
    return Trainer(config, kind(*parts), fresh=fresh)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("kind", [TinyStage, TinyGan])
@pytest.mark.parametrize(
    "settings", [{}, {"accumulate": 2, "ema": 0.9, "precision": "bf16"}, {"precision": "fp16"}, {"workers": 1}]
)
def test_four_steps_are_two_and_a_resumed_two(tmp_path: Path, kind: type[TinyStage], settings: dict[str, Any]) -> None:
    def train(output: str, steps: int) -> Trainer:
        config = make_config(tmp_path / output, stage=kind.name, trainer={"steps": steps, **settings})
        trainer = make(config, kind)
        torch.rand(3)  # what was drawn before the run is of no matter
        trainer.run()
        return trainer

    whole = train("whole", 4)
    first, second = train("parts", 2), train("parts", 4)
    assert first.stage.history + second.stage.history == whole.stage.history  # type: ignore[attr-defined, operator]
    a, b = checkpoints.load(whole.last), checkpoints.load(second.last)
    assert a.trainer is not None and b.trainer is not None
    assert a.trainer["step"] == 4 and a.trainer["optimizers"]
    assert same(a.weights, b.weights)
    for key in a.trainer:
        if key not in ("best", "metrics"):  # those of one validation more
            assert same(a.trainer[key], b.trainer[key]), key


def test_validation_and_preview_leave_training_alone(tmp_path: Path) -> None:
    often = make(make_config(tmp_path / "a", trainer={"validate_every": 1, "preview_every": 1, "save_every": 1}))
    seldom = make(make_config(tmp_path / "b"))
    often.run()
    seldom.run()
    assert same(often.stage.state_dict(), seldom.stage.state_dict())


def test_workers_give_the_same_samples(tmp_path: Path) -> None:
    none = make(make_config(tmp_path / "a"))
    two = make(make_config(tmp_path / "b", trainer={"workers": 2}))
    none.run()
    two.run()
    assert none.stage.history == two.stage.history  # type: ignore[attr-defined]


def test_each_player_gets_its_own_gradient_only(tmp_path: Path) -> None:
    trainer = make(make_config(tmp_path, stage="gan"), TinyGan)
    trainer.run()
    seen = trainer.stage.seen  # type: ignore[attr-defined]
    assert len(seen) == 4
    for before, after, updated in seen:
        assert updated, "the generator must face the updated discriminator"
        assert before.abs().sum() > 0 and torch.equal(before, after)


def test_accumulation_is_the_mean_of_its_batches(tmp_path: Path) -> None:
    class Plain(TinyStage):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            self.regressor.layers = nn.Sequential(nn.Linear(5, 1))

        def sampler(self, dataset: Dataset[Any], batch: int, seed: int) -> list[list[int]]:
            return [list(range(i, i + batch)) for i in range(0, 8, batch)]

        def losses(self, batch: Any, generator: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
            yield "regressor", {"l2": (self.regressor(batch["x"]) - batch["y"]).square().mean()}

        def datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
            points = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
            return [{"x": point, "y": point[:1]} for point in points], []  # type: ignore[return-value]

    one = make(make_config(tmp_path / "a", trainer={"steps": 2, "batch": 8}), Plain)
    two = make(make_config(tmp_path / "b", trainer={"steps": 2, "batch": 4, "accumulate": 2}), Plain)
    one.run()
    two.run()
    for a, b in zip(one.stage.parameters(), two.stage.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    make(make_config(tmp_path, trainer={"steps": 2})).run()
    changed = make_config(tmp_path, loss={"weight": 2.0}, optimizer={"lr": 0.02})
    with pytest.raises(
        ConfigError, match=r"loss.weight was 1.0, is 2.0; optimizer.lr was 0.01, is 0.02.*--fresh"
    ) as error:
        make(changed).run()
    assert "\n" not in str(error.value)
    seed_everything(0)
    stage = TinyStage(TinyData(), TinyNetwork(), TinyLoss(weight=2.0))
    assert Trainer(changed, stage, fresh=True).run().step == 4
    allowed = make_config(
        tmp_path, loss={"weight": 2.0}, optimizer={"lr": 0.02}, trainer={"steps": 5, "log_every": 9, "save_every": 3}
    )
    trainer = make(allowed)
    assert trainer.run().step == 5
    assert len(trainer.stage.history) == 1  # type: ignore[arg-type]


def test_a_finished_run_does_nothing(tmp_path: Path) -> None:
    make(make_config(tmp_path)).run()
    before = (tmp_path / "last.pt").read_bytes()
    trainer = make(make_config(tmp_path))
    assert trainer.run().step == 4 and trainer.stage.history == []
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_loss_that_is_not_finite_names_step_and_term(tmp_path: Path) -> None:
    config = make_config(tmp_path, data={"poison": 0}, trainer={"steps": 9, "batch": 2, "save_every": 1})

    class Clean(TinyStage):
        def prepare(self, train: Dataset[Any]) -> None:
            """The poison would stop the statistics already."""

        def sampler(self, dataset: Dataset[Any], batch: int, seed: int) -> list[list[int]]:
            return [[1, 2], [0, 3]]

    trainer = make(config, Clean)
    with pytest.raises(TrainingError, match=r"^step 2: loss 'regressor/l1' is nan"):
        trainer.run()
    assert all(torch.isfinite(value).all() for value in trainer.stage.parameters())
    last = checkpoints.load(tmp_path / "last.pt")
    assert last.info["step"] == 1 and all(torch.isfinite(value).all() for value in last.weights.values())


def test_a_setting_that_came_later_is_at_its_default_in_an_older_run(tmp_path: Path) -> None:
    make(make_config(tmp_path, trainer={"steps": 2})).run()
    older = checkpoints.load(tmp_path / "last.pt")
    del older.config["trainer"]["best"], older.config["optimizer"]["warmup"]
    checkpoints.save(tmp_path / "last.pt", older)
    with pytest.raises(ConfigError, match=r"settings: trainer\.best was 'score', is 'last'; put"):
        make(make_config(tmp_path, trainer={"steps": 4, "best": "last"})).run()
    assert make(make_config(tmp_path, trainer={"steps": 4})).run().step == 4


def test_best_is_the_last_where_nothing_is_selected(tmp_path: Path) -> None:
    settings = {"validate_every": 1, "best": "last"}
    trainer = make(make_config(tmp_path, data={"validation": 1}, trainer=settings))
    trainer.stage.scores = [3.0, 1.0, 4.0, 2.0]  # type: ignore[assignment]
    assert trainer.run().best == 2.0
    best, last = (checkpoints.load(tmp_path / name) for name in ("best.pt", "last.pt"))
    assert best.info["step"] == last.info["step"] == 4 and same(best.weights, last.weights)


def test_best_is_the_lowest_score(tmp_path: Path) -> None:
    trainer = make(make_config(tmp_path, data={"validation": 1}, trainer={"validate_every": 1}))
    trainer.stage.scores = [3.0, 1.0, float("nan"), 2.0]  # type: ignore[assignment]
    assert trainer.run().best == 1.0
    best = checkpoints.load(tmp_path / "best.pt", stage="tiny")
    assert best.info == {"step": 2, "best_score": 1.0, "metrics": {"score": 1.0}} and best.trainer is None
    assert best.config["network"] == {"width": 6}
    assert checkpoints.load(tmp_path / "last.pt").info == {"step": 4, "best_score": 1.0, "metrics": {"score": 1.0}}
    network = Regressor(6)
    checkpoints.load_weights(network, best.weights, source="best.pt")
    assert network.normalizer.mean.abs().sum() > 0


def test_averaged_weights_are_validated_and_saved(tmp_path: Path) -> None:
    scored: list[Tensor] = []

    class Watching(TinyStage):
        def validate(self, batch: Any) -> dict[str, float]:
            scored.append(self.regressor.layers[0].weight.detach().clone())
            return super().validate(batch)

    config = make_config(tmp_path, trainer={"steps": 3, "ema": 0.5})
    trainer = make(config, Watching)
    expected = trainer.stage.network.state_dict()["layers.0.weight"].clone()
    raw = []
    update = trainer.update

    def recording(batches: Iterator[Any]) -> dict[str, float]:
        logged = update(batches)
        raw.append(trainer.stage.network.state_dict()["layers.0.weight"].clone())
        return logged

    trainer.update = recording  # type: ignore[method-assign]
    trainer.run()
    for step, weight in enumerate(raw, start=1):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    last = checkpoints.load(tmp_path / "last.pt")
    assert torch.allclose(last.weights["layers.0.weight"], expected, atol=1e-6)
    assert torch.allclose(scored[-1], expected, atol=1e-6)
    assert torch.equal(trainer.stage.network.state_dict()["layers.0.weight"], raw[-1])


def test_buffers_are_not_averaged(tmp_path: Path) -> None:
    trainer = make(make_config(tmp_path, trainer={"ema": 0.9}))
    trainer.run()
    saved, own = checkpoints.load(tmp_path / "last.pt").weights, trainer.stage.network.state_dict()
    for name in ("layers.1.running_mean", "layers.1.running_var"):
        assert torch.equal(saved[name], own[name])
    assert not torch.equal(saved["layers.0.weight"], own["layers.0.weight"])


def test_a_validation_figure_is_the_mean_over_samples(tmp_path: Path) -> None:
    """Of six samples in batches of four and two."""
    seen: list[tuple[int, float]] = []

    class Watching(TinyStage):
        def validate(self, batch: Any) -> dict[str, float]:
            metrics = super().validate(batch)
            seen.append((len(batch["x"]), metrics["score"]))
            return metrics

    outcome = make(make_config(tmp_path, data={"validation": 6}), Watching).run()
    (many, large), (few, small) = seen
    assert (many, few) == (4, 2)
    assert outcome.best == pytest.approx((4 * large + 2 * small) / 6) != pytest.approx((large + small) / 2)


def test_what_is_logged_is_the_mean_since_the_last_time(tmp_path: Path) -> None:
    trainer = make(make_config(tmp_path, trainer={"log_every": 2}))
    trainer.run()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    history: list[float] = trainer.stage.history  # type: ignore[assignment]
    logged = {point.step: point.value for point in events.Scalars("train/regressor/l1")}
    assert logged == pytest.approx({2: np.mean(history[:2]), 4: np.mean(history[2:])})


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_losses_are_computed_in_the_precision_of_the_configuration(tmp_path: Path, precision: str) -> None:
    kinds: list[torch.dtype] = []

    class Watching(TinyStage):
        def losses(self, batch: Any, generator: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
            kinds.append(self.regressor(batch["x"]).dtype)
            yield from super().losses(batch, generator)

    trainer = make(make_config(tmp_path, trainer={"steps": 1, "precision": precision}), Watching)
    trainer.run()
    assert kinds == [torch.bfloat16 if precision == "bf16" else torch.float32]
    assert all(parameter.dtype == torch.float32 for parameter in trainer.stage.parameters())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_leaves(tmp_path: Path, number: signal.Signals) -> None:
    class Stopped(TinyStage):
        def losses(self, batch: Any, generator: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
            if len(self.history) == 1:
                os.kill(os.getpid(), number)
            yield from super().losses(batch, generator)

    before = signal.getsignal(number)
    outcome = make(make_config(tmp_path, trainer={"steps": 50}), Stopped).run()
    assert outcome.interrupted == number and outcome.step == 2
    assert signal.getsignal(number) is before
    state = checkpoints.load(tmp_path / "last.pt").trainer
    assert state is not None and state["step"] == 2


def test_one_training_an_output_also_by_another_name(tmp_path: Path) -> None:
    class Meets(TinyStage):
        def losses(self, batch: Any, generator: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
            if len(self.history) == 1:
                with pytest.raises(OutputError, match=r"another training is writing into .*link: wait for it"):
                    make(make_config(tmp_path / "link")).run()
            yield from super().losses(batch, generator)

    (tmp_path / "link").symlink_to(tmp_path / "run")
    assert make(make_config(tmp_path / "run"), Meets).run().step == 4
    assert make(make_config(tmp_path / "link", trainer={"steps": 6})).run().step == 6


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".best.pt.0.moda-tmp").write_text("half")
    (tmp_path / ".hidden").write_text("mine")
    make(make_config(tmp_path, data={"validation": 0}, trainer={"steps": 1})).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", ".lock", "best.pt", "last.pt", "tensorboard"]


def test_tensorboard_has_losses_rate_speed_validation_and_previews(tmp_path: Path) -> None:
    make(make_config(tmp_path, trainer={"steps": 2})).run()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"train/regressor/l1", "train/regressor/l2", "run/lr", "run/samples_per_s", "validation/score"} <= scalars
    assert set(events.Tags()["images"]) == {"preview/still", "preview/moving"}
    assert events.Images("preview/moving")[0].encoded_image_string.startswith(b"GIF89a")
    assert events.Scalars("run/lr")[0].value == pytest.approx(0.01)


def test_a_dry_run_tries_everything_and_writes_nothing(tmp_path: Path) -> None:
    result = dry_run(make(make_config(tmp_path / "run")))
    assert result.shapes == {"x": (4, 5), "y": (4, 1)}
    assert set(result.losses) == {"regressor/l1", "regressor/l2"} and "score" in result.metrics
    assert result.previews == {"still": (8, 8, 3), "moving": (3, 8, 8, 3)}
    assert set(result.seconds) == {"prepare", "batch", "losses", "validate", "preview"}
    assert list(tmp_path.iterdir()) == []


def test_no_validation_set_still_gives_a_best(tmp_path: Path) -> None:
    make(make_config(tmp_path, data={"validation": 0})).run()
    assert checkpoints.load(tmp_path / "best.pt").info["step"] == 4


def test_what_cannot_start_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="training set is empty"):
        make(make_config(tmp_path, data={"samples": 0}), NoStatistics).run()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the output folder"):
        make(make_config(tmp_path / "file" / "run")).run()
    with pytest.raises(ConfigError, match="for stage 'other', the stage is 'tiny'"):
        make(make_config(tmp_path, stage="other"))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="'cuda' is not available here; available: cpu"):
            make(make_config(tmp_path).model_copy(update={"device": "cuda"}))


class NoStatistics(TinyStage):
    def prepare(self, train: Dataset[Any]) -> None:
        """None needed."""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.clear(), "KeyError"),
        (lambda state: state.update(step="2"), "step, epoch and position"),
        (lambda state: state.update(step=-1), "step, epoch and position"),
        (lambda state: state.update(epoch=True), "step, epoch and position"),
        (lambda state: state.update(best="low"), "ValueError"),
        (lambda state: state.update(metrics=[1]), "AttributeError"),
        (lambda state: state.update(metrics={"a": "b"}), "ValueError"),
        (lambda state: state.update(origin=3), "TypeError"),
        (lambda state: state.update(trainables=[]), "TypeError"),
        (lambda state: state.update(optimizers={}), "KeyError"),
        (lambda state: state.update(average=None), "AttributeError"),
        (lambda state: state["average"].update({"layers.0.bias": torch.zeros(1)}), "of another network"),
        (lambda state: state["average"]["layers.0.bias"].fill_(math.nan), "not finite"),
        (lambda state: state["optimizers"]["regressor"].update(state={0: {"step": torch.tensor(1.0)}}), "knows step"),
        (lambda state: state["optimizers"]["regressor"]["state"][0].update(exp_avg=torch.zeros(1)), "'exp_avg'"),
        (lambda state: state["optimizers"]["regressor"]["state"][0].update(exp_avg=3), "'exp_avg'"),
        (lambda state: state["optimizers"]["regressor"]["state"][0]["exp_avg_sq"].fill_(math.inf), "'exp_avg_sq'"),
        (lambda state: state["optimizers"]["regressor"].update(param_groups=[]), "ValueError"),
    ],
)
def test_a_state_of_another_shape_is_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    config = make_config(tmp_path, trainer={"steps": 2, "ema": 0.5})
    make(config).run()
    tree = torch.load(tmp_path / "last.pt", weights_only=True)
    change(tree["trainer"])
    torch.save(tree, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=f"is not one of this run .*({words})"):
        make(make_config(tmp_path, trainer={"steps": 4, "ema": 0.5})).run()


def test_the_optimiser_keeps_the_settings_of_the_configuration(tmp_path: Path) -> None:
    make(make_config(tmp_path, trainer={"steps": 2})).run()
    tree = torch.load(tmp_path / "last.pt", weights_only=True)
    tree["trainer"]["optimizers"]["regressor"]["param_groups"][0].update(betas="x", weight_decay=1e9)
    torch.save(tree, tmp_path / "last.pt")
    trainer = make(make_config(tmp_path, trainer={"steps": 4}))
    assert trainer.run().step == 4
    assert trainer.trainables["regressor"].optimizer.param_groups[0]["betas"] == (0.9, 0.99)

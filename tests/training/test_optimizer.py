"""Every setting of the optimiser reaches the weights: steps of a real run against AdamW worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import Dataset

from moda.config import Config, parse
from moda.training.config import TrainConfig
from moda.training.stage import Stage
from moda.training.trainer import Trainer

LR = 0.01


class Nothing(Config):
    pass


class Sloped(Stage):
    """Two weights whose gradient at each step is given: the loss is their product with it."""

    name = "sloped"
    DataConfig = NetworkConfig = LossConfig = Nothing

    def __init__(self, gradients: Sequence[Sequence[float]]) -> None:
        super().__init__(Nothing(), Nothing(), Nothing())
        self.line = nn.Linear(2, 1, bias=False)
        nn.init.constant_(self.line.weight, 0.5)
        self.gradients = torch.tensor(gradients)
        self.places: list[np.ndarray] = []

    @property
    def trainables(self) -> dict[str, nn.Module]:
        return {"line": self.line}

    @property
    def network(self) -> nn.Module:
        return self.line

    def datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        return [torch.zeros(1)] * 2, []  # type: ignore[return-value]

    def losses(self, batch: Any, generator: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
        self.places.append(self.line.weight.detach().double().numpy()[0].copy())
        yield "line", {"slope": (self.line.weight[0] * self.gradients[len(self.places) - 1]).sum()}

    def validate(self, batch: Any) -> dict[str, float]:
        return {}


def places_of(output: Path, gradients: Sequence[Sequence[float]], **optimizer: Any) -> np.ndarray:
    """(steps + 1, 2) weights before the first step and after each of a run with these gradients."""
    stage = Sloped(gradients)
    tree = {
        "stage": "sloped", "output": output, "device": "cpu", "optimizer": {"lr": LR, **optimizer},
        "trainer": {"steps": len(gradients), "batch": 2, "log_every": 1},
    }  # fmt: skip
    Trainer(parse(TrainConfig, tree, source="test"), stage).run()
    return np.array([*stage.places, stage.line.weight.detach().double().numpy()[0]])


def by_hand(
    gradients: Sequence[Sequence[float]],
    rates: Sequence[float],
    betas: tuple[float, float] = (0.9, 0.99),
    decay: float = 0.0,
) -> np.ndarray:
    """Loshchilov and Hutter 2019, algorithm 2, in plain numbers."""
    place, first, second = np.full(2, 0.5), np.zeros(2), np.zeros(2)
    places = [place]
    for step, (gradient, rate) in enumerate(zip(np.array(gradients), rates, strict=True), start=1):
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient**2
        slope = first / (1 - betas[0] ** step) / (np.sqrt(second / (1 - betas[1] ** step)) + 1e-8)
        place = place - rate * decay * place - rate * slope
        places.append(place)
    return np.array(places)


STEADY = [(1.0, -2.0)] * 6
UNEVEN = [(0.1, 0.2), (0.3, -0.1), (-0.5, 0.4), (0.2, 0.1)]


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"warmup": 4}, [0.25, 0.5, 0.75, 1, 1, 1]),
        # cos of 0, 60, 120, ... degrees would end at 0 after the last step, which is step 6
        ({"schedule": "cosine"}, [1, 0.933013, 0.75, 0.5, 0.25, 0.066987]),
        ({"schedule": "cosine", "warmup": 2}, [0.5, 1, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_each_step_is_as_long_as_the_learning_rate_says(
    tmp_path: Path, settings: dict[str, Any], shares: list[float]
) -> None:
    """Under an even gradient Adam goes the learning rate a step, whatever the gradient's size."""
    places = places_of(tmp_path, STEADY, clip=0, **settings)
    np.testing.assert_allclose(-np.diff(places[:, 0]) / LR, shares, rtol=1e-3)
    np.testing.assert_allclose(np.diff(places[:, 1]) / LR, shares, rtol=1e-3)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    np.testing.assert_allclose([point.value / LR for point in events.Scalars("run/lr")], shares, rtol=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, {"betas": (0.5, 0.999)}, {"betas": (0.9, 0.5)}, {"weight_decay": 2.0}, {"lr": 0.05}]
)
def test_betas_and_weight_decay_are_those_of_the_configuration(tmp_path: Path, settings: dict[str, Any]) -> None:
    expected = by_hand(
        UNEVEN, [settings.get("lr", LR)] * 4, settings.get("betas", (0.9, 0.99)), settings.get("weight_decay", 0.0)
    )
    np.testing.assert_allclose(places_of(tmp_path, UNEVEN, **settings), expected, atol=1e-6)


def test_a_gradient_is_clipped_to_the_norm_of_the_configuration(tmp_path: Path) -> None:
    """3-4-5 and 30-40-50 triangles: the second is scaled down to a norm of 2, the first, of 0.5, is not."""
    given, clipped = [(0.3, -0.4), (30.0, 40.0), (0.3, -0.4)], [(0.3, -0.4), (1.2, 1.6), (0.3, -0.4)]
    np.testing.assert_allclose(places_of(tmp_path / "a", given, clip=2.0), by_hand(clipped, [LR] * 3), atol=1e-6)
    np.testing.assert_allclose(places_of(tmp_path / "b", given, clip=0.0), by_hand(given, [LR] * 3), atol=1e-6)
    events = EventAccumulator(str(tmp_path / "a" / "tensorboard"))
    events.Reload()
    logged = [point.value for point in events.Scalars("train/line/gradient")]
    assert logged == pytest.approx([0.5, 50.0, 0.5]), "what is logged is the norm before clipping"

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from moda.config import Config, parse
from moda.training.config import TrainConfig
from moda.training.loading import TrainingStream, _loader, validation_batches
from moda.training.runtime import Runtime
from moda.training.stage import Stage
from moda.training.validation import Validator


class Empty(Config):
    """Nothing to set."""


class Reading(Stage):
    name = "reading"
    DataConfig = NetworkConfig = LossConfig = Empty

    def __init__(self) -> None:
        super().__init__(Empty(), Empty(), Empty())

    @property
    def trainables(self) -> dict[str, nn.Module]:
        return {}

    @property
    def network(self) -> nn.Module:
        return self

    def datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        return Indices(10), Indices(5)

    def losses(self, batch: Any, generator: torch.Generator) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        yield from ()

    def validate(self, batch: Any) -> dict[str, float]:
        return {}


class Indices(Dataset[tuple[int, float]]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, float(torch.rand(1))


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    tree = {"stage": "reading", "output": tmp_path, "device": "cpu", "trainer": {"steps": 1, "batch": 4}}
    return parse(TrainConfig, tree, source="test")


def read(stream: TrainingStream, count: int) -> list[tuple[list[int], list[float]]]:
    return [(batch[0].tolist(), batch[1].tolist()) for batch in islice(iter(stream), count)]


def test_epochs_are_shuffled_whole_batches_and_differ(config: TrainConfig) -> None:
    batches = read(TrainingStream(Reading(), Indices(10), config, Runtime("cpu")), 6)
    epochs = [[i for indices, _ in batches[e : e + 2] for i in indices] for e in (0, 2, 4)]
    assert all(len(indices) == 4 for indices, _ in batches)
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != sorted(epochs[0])
    again = read(TrainingStream(Reading(), Indices(10), config, Runtime("cpu")), 6)
    assert again == batches
    other = config.model_copy(update={"seed": 1})
    assert read(TrainingStream(Reading(), Indices(10), other, Runtime("cpu")), 6) != batches


@pytest.mark.parametrize("taken", [1, 2, 3, 4])
def test_a_stream_is_picked_up_anywhere(config: TrainConfig, taken: int) -> None:
    whole = read(TrainingStream(Reading(), Indices(10), config, Runtime("cpu")), 7)
    first = TrainingStream(Reading(), Indices(10), config, Runtime("cpu"))
    assert read(first, taken) == whole[:taken]
    assert (first.epoch, first.position) == ((taken - 1) // 2, (taken - 1) % 2 + 1)
    rest = TrainingStream(Reading(), Indices(10), config, Runtime("cpu"), epoch=first.epoch, position=first.position)
    assert read(rest, 7 - taken) == whole[taken:]


def test_reading_does_not_draw_from_the_global_generator(config: TrainConfig) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    read(TrainingStream(Reading(), Indices(10), config, Runtime("cpu")), 3)
    list(validation_batches(Reading(), Indices(5), config, Runtime("cpu")))
    assert torch.equal(torch.rand(3), wanted)


def test_processes_share_an_epoch(config: TrainConfig) -> None:
    whole = read(TrainingStream(Reading(), Indices(20), config, Runtime("cpu")), 4)
    for index in (0, 1):
        runtime = Runtime("cpu")
        runtime.count, runtime.index = 2, index
        assert read(TrainingStream(Reading(), Indices(20), config, runtime), 2) == whole[index:4:2]


def test_a_small_set_is_one_batch_and_what_is_left_out_is_told(
    config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    assert sorted(read(TrainingStream(Reading(), Indices(3), config, Runtime("cpu")), 1)[0][0]) == [0, 1, 2]
    with caplog.at_level(logging.INFO, "moda"):
        TrainingStream(Reading(), Indices(9), config, Runtime("cpu"))
    assert "9 samples, 2 batches an epoch, 1 samples left out" in caplog.text


def test_validation_is_everything_in_order_and_the_same_every_time(config: TrainConfig) -> None:
    def check() -> list[tuple[int, int, list[int], list[float]]]:
        batches = validation_batches(Reading(), Indices(5), config, Runtime("cpu"))
        return [(number, count, batch[0].tolist(), batch[1].tolist()) for number, count, batch in batches]

    first = check()
    assert [part[:3] for part in first] == [(0, 4, [0, 1, 2, 3]), (1, 1, [4])]
    assert check() == first


class Measuring(Reading):
    def validate(self, batch: Any) -> dict[str, float]:
        return {"index": batch[0].float().mean(), "drawn": batch[1].mean()}


def test_processes_share_a_validation_and_have_the_same_figures(config: TrainConfig) -> None:
    """Of batches that are not alike: 13 samples are 3 batches of 4 and one of 1, two for each process."""
    found: dict[int, Any] = {}

    def metrics(index: int, gather: Callable[[Any], list[Any]]) -> dict[str, float]:
        runtime = Runtime("cpu")
        runtime.count, runtime.index = 2, index
        runtime.gather = gather  # type: ignore[method-assign]
        return Validator(Measuring(), config, runtime).metrics(Indices(13), None)

    for index in (0, 1):
        metrics(index, lambda own, index=index: [found.setdefault(index, own)])
    assert [[part[:2] for part in found[index]] for index in (0, 1)] == [[(0, 4), (2, 4)], [(1, 4), (3, 1)]]
    whole = Validator(Measuring(), config, Runtime("cpu")).metrics(Indices(13), None)
    assert whole["index"] == 6
    for index in (0, 1):
        assert metrics(index, lambda own: [found[0], found[1]]) == whole


class Threads(Indices):
    def __getitem__(self, index: int) -> tuple[int, float]:
        return torch.get_num_threads(), float(cv2.getNumThreads())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are not forked")
def test_loading_processes_are_forked() -> None:
    """Python 3.14 starts them otherwise, and would send them the networks with the function that makes batches."""
    context = _loader(Reading(), Indices(4), [], 1, Runtime("cpu")).multiprocessing_context
    assert context is not None and context.get_start_method() == "fork"


def test_a_worker_has_one_thread(config: TrainConfig) -> None:
    config = config.model_copy(update={"trainer": config.trainer.model_copy(update={"workers": 1})})
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (1500, 1500))  # its threads have started
    try:
        (threads,) = read(TrainingStream(Reading(), Threads(4), config, Runtime("cpu")), 1)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
    assert threads == ([1] * 4, [1.0] * 4)

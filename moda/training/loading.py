"""Batches in an order that depends on the seed alone, and can be picked up in the middle."""

from __future__ import annotations

import logging
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sized
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from moda.errors import ConfigError, DataError
from moda.imaging.threads import use_one_thread
from moda.training.config import TrainConfig
from moda.training.randomness import SeededSamples, derive
from moda.training.runtime import Runtime
from moda.training.stage import Stage

log = logging.getLogger(__name__)

_TRAIN_SEED, _VALIDATION_SEED = 1, 2
Keys = list[tuple[int, int]]


def size(dataset: Dataset[Any]) -> int:
    """Number of samples of a dataset."""
    return len(cast(Sized, dataset))


class TrainingStream:
    """Training batches without end, epoch after epoch.

    (epoch, position) says what comes next; position counts the batches of all processes.
    """

    def __init__(
        self,
        stage: Stage,
        dataset: Dataset[Any],
        config: TrainConfig,
        runtime: Runtime,
        *,
        epoch: int = 0,
        position: int = 0,
    ) -> None:
        """Start at a position. Raises `DataError` when the set is empty or too small for the processes,
        `ConfigError` when its batches are too small for batch normalisation.
        """
        self.epoch, self.position = epoch, position
        self._stage, self._dataset, self._config, self._runtime = stage, dataset, config, runtime
        self._ahead: deque[tuple[int, int]] = deque()
        if size(dataset) == 0:
            raise DataError("the training set is empty; see the stage's data section and the store's split lists")
        batches = self._epoch(0)
        _refuse_single_samples(stage, config, batches)
        used = sum(map(len, batches)) * runtime.count
        log.info(
            "training set: %d samples, %d batches an epoch, %d samples left out of an epoch as they fill no batch",
            size(dataset), len(batches), max(0, size(dataset) - used),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Any]:
        # of its own: a DataLoader draws from its generator, and the global one belongs to the losses
        loader = _loader(self._stage, self._dataset, self._plan(), self._config.trainer.workers, self._runtime)
        for batch in loader:
            self.epoch, self.position = self._ahead.popleft()
            yield self._runtime.to_device(batch)

    def _plan(self) -> Iterator[Keys]:
        epoch, position = self.epoch, self.position
        while True:
            for index, batch in enumerate(self._epoch(epoch)):
                if index * self._runtime.count >= position:
                    self._ahead.append((epoch, (index + 1) * self._runtime.count))
                    yield batch
            epoch, position = epoch + 1, 0

    def _epoch(self, epoch: int) -> list[Keys]:
        """This process's batches of an epoch; every process has as many."""
        seed = self._config.seed
        batches = self._stage.sampler(self._dataset, self._config.trainer.batch, derive(seed, _TRAIN_SEED, epoch))
        count, rank = self._runtime.count, self._runtime.index
        if len(batches) < count:
            raise DataError(
                f"{len(batches)} batches an epoch for {count} processes; lower trainer.batch or the processes"
            )
        mine = range(rank, len(batches) - len(batches) % count, count)
        return [[(s, derive(seed, _TRAIN_SEED, epoch, b, j)) for j, s in enumerate(batches[b])] for b in mine]


def _refuse_single_samples(stage: Stage, config: TrainConfig, batches: list[Keys]) -> None:
    """`BatchNorm1d` has no variance of one sample; raises `ConfigError` if such a batch can come."""
    single = config.trainer.batch == 1 or any(len(batch) == 1 for batch in batches)
    if single and any(isinstance(module, nn.BatchNorm1d) for module in stage.modules()):
        remedies = ["raise trainer.batch", "add footage"]
        if stage.norm_setting is not None:
            remedies.append(f"set {stage.norm_setting}")
        raise ConfigError(
            f"stage '{stage.name}' has batch normalisation, which cannot be trained on a batch of one sample "
            f"(trainer.batch is {config.trainer.batch}); {', or '.join(remedies)}"
        )


def validation_batches(
    stage: Stage, dataset: Dataset[Any], config: TrainConfig, runtime: Runtime, *, shared: bool = False
) -> Iterator[tuple[int, int, Any]]:
    """(number of the batch, samples, batch) over the set in order, the same draws every time.

    shared: every process takes its share of the batches; else each goes through all.
    """
    keys = [(index, derive(config.seed, _VALIDATION_SEED, index)) for index in range(size(dataset))]
    batches = [keys[i : i + config.trainer.batch] for i in range(0, len(keys), config.trainer.batch)]
    mine = range(len(batches))[runtime.index :: runtime.count] if shared else range(len(batches))
    loader = _loader(stage, dataset, [batches[number] for number in mine], config.trainer.workers, runtime)
    for number, batch in zip(mine, loader, strict=True):
        yield number, len(batches[number]), runtime.to_device(batch)


def _loader(stage: Stage, dataset: Dataset[Any], batches: Any, workers: int, runtime: Runtime) -> DataLoader[Any]:
    if workers:  # before they are forked: in a process that has inherited OpenCV's threads this waits for ever
        use_one_thread()
    return DataLoader(
        SeededSamples(dataset),
        batch_sampler=batches,
        collate_fn=stage.collate,
        num_workers=workers,
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,  # from Python 3.14 on another
        pin_memory=runtime.device.type == "cuda",
        worker_init_fn=_in_worker,
        generator=torch.Generator().manual_seed(0),
    )


def _in_worker(worker: int) -> None:
    """One thread a worker, torch's by the loader. Ctrl-C goes to the whole group: the main process decides when loading
    ends.
    """
    use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

"""Every random number of a run is drawn under a seed derived from the run's and from what it is drawn for.

So nothing that was drawn before counts, nor in which process: a resumed run draws what the whole one would have, and
two processes what one does that accumulates two batches.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

_BITS = 2**63 - 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of random, numpy and torch (all devices)."""
    _seed_host(seed)
    torch.manual_seed(seed)


def derive(*numbers: int) -> int:
    """One seed out of several numbers (seed, epoch, position ...); any change gives an unrelated one."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) & _BITS


@contextmanager
def isolated(seed: int, *, gpus: bool = True) -> Iterator[None]:
    """Run a block under its own seed; the global generators are afterwards what they were before.

    gpus: False in a loading process, which must not touch a GPU.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpus = torch.cuda.get_rng_state_all() if gpus and torch.cuda.is_initialized() else []
    _seed_host(seed)
    (torch if gpus else torch.default_generator).manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
        if on_gpus:
            torch.cuda.set_rng_state_all(on_gpus)


class SeededSamples(Dataset[Any]):
    """A dataset asked with (index, seed): the sample is drawn under that seed.

    So a sample is the same whatever was drawn before it, in whichever worker, and after a resume.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> Any:
        index, seed = key
        with isolated(seed, gpus=False):
            return self.dataset[index]


def _seed_host(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
